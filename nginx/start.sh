#!/bin/sh
# Checks the settings, writes the lines that depend on the site, and becomes NGINX. `start.sh -t` checks the configuration.
set -eu
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "nginx: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "nginx: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac
for range in ${TRUSTED_PROXIES:-}; do
  case $range in *[!0-9A-Fa-f:./]*) echo "nginx: TRUSTED_PROXIES holds '$range': give addresses or networks, separated by spaces" >&2; exit 1 ;; esac
done
case $READ_TIMEOUT in '' | [0-5] | 0* | *[!0-9]*) echo "nginx: READ_TIMEOUT=$READ_TIMEOUT is not a number of seconds from 6" >&2; exit 1 ;; esac
case $CLIENT_REQUESTS in '' | 0* | *[!0-9]*) echo "nginx: CLIENT_REQUESTS=$CLIENT_REQUESTS is not a number of requests" >&2; exit 1 ;; esac
case $LOGIN_RATE in '' | 0* | *[!0-9]*) echo "nginx: LOGIN_RATE=$LOGIN_RATE is not a number of requests per second" >&2; exit 1 ;; esac
# The paths that the proxies take for themselves. An empty path is off: it is the application's, like any other.
taken="" clash=""
for name in ADMIN_PATH CACHE_PATH STATIC_PATH MEDIA_PATH LOGIN_PATH; do
  eval "path=\${$name:-}"
  [ -n "$path" ] || continue
  end=/
  [ $name != LOGIN_PATH ] || end="/?"
  printf '%s' "$path" | grep -Eqx "(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$end" || { echo "nginx: $name=$path is not a path: begin and end it with /, and give letters, digits and . _ - between" >&2; exit 1; }
  for other in $taken; do
    case $path in "$other"*) clash=$other ;; esac
    case $other in "${path%/}/"*) clash=$other ;; esac
    [ -z "$clash" ] || { echo "nginx: $name=$path and $clash are inside each other: give paths that are apart" >&2; exit 1; }
  done
  taken="$taken ${path%/}/"
done
case $BODY_LIMIT in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) echo "nginx: BODY_LIMIT=$BODY_LIMIT is not a number of MiB from 1 to 999" >&2; exit 1 ;; esac
# Other applications behind this proxy: docs/several-applications.md.
for site in ${SITES:-}; do
  printf '%s' "$site" | grep -Eqx '[A-Za-z0-9.-]+=[a-z0-9][a-z0-9_-]*' || { echo "nginx: SITES holds '$site': give host=project, separated by spaces" >&2; exit 1; }
  case " $DOMAIN " in *" ${site%%=*} "*) ;; *) echo "nginx: SITES holds ${site%%=*}, which is not in DOMAIN" >&2; exit 1 ;; esac
done

# The port as a client writes it: empty where it is the default port.
port=":$HTTPS_PORT"
[ "$HTTPS_PORT" != 443 ] || port=""
echo "worker_processes $(nproc);" > /run/nginx/workers.conf
echo "server $APP_HOST:8000 resolve max_fails=1 fail_timeout=1s;" > /run/nginx/app.conf
echo "'~app\$|^([^ ]+ : [^ ]+( : |\$))+\$' \$app_host:8000;" > /run/nginx/app-by-name.conf
# Which application gets a request: the name of its containers ($app_host), and of its upstream ($app), by the host. The upstream
# of another application is that of snippets/upstream.conf with another name.
{
  echo "map \$host \$app_host { default $APP_HOST; $(for site in ${SITES:-}; do echo "${site%%=*} ${site#*=}-app;"; done) }"
  echo "map \$host \$app { default app; $(for site in ${SITES:-}; do echo "${site%%=*} ${site#*=}-app;"; done) }"
  for project in $(for site in ${SITES:-}; do echo "${site#*=}"; done | sort -u); do
    sed -n '/^upstream app {/,/^}/p' /etc/nginx/snippets/upstream.conf | sed \
      "s/^upstream app/upstream $project-app/; s/zone app/zone $project-app/; s/include .*/server $project-app:8000 resolve max_fails=1 fail_timeout=1s;/"
  done
} > /run/nginx/sites.conf
# A variable in proxy_pass costs NGINX a search for the upstream with each request.
if [ -n "${SITES:-}" ]; then echo "proxy_pass http://\$app;"; else echo "proxy_pass http://app;"; fi > /run/nginx/pass.conf
cat > /run/nginx/site.conf <<EOF
server_name $DOMAIN;
set \$https_authority "\$host$port";
EOF
cat > /run/nginx/alt-svc.conf <<EOF
add_header Alt-Svc 'h3=":$HTTPS_PORT"; ma=86400' always;
EOF
cat > /run/nginx/login-rate.conf <<EOF
limit_req_zone \$login_client zone=login:10m rate=${LOGIN_RATE}r/s;
EOF
echo "client_max_body_size ${BODY_LIMIT}m;" > /run/nginx/body-limit.conf

# Which path leads to which file of locations/, and what the maps of snippets/ need to know of the paths.
admin=$(printf '%s' "${ADMIN_PATH%/}" | sed 's/\./\\./g')
cache=$(printf '%s' "$CACHE_PATH" | sed 's/\./\\./g')
{
  [ -z "$ADMIN_PATH" ] || echo "location ~* ^$admin(/|\$) { include /etc/nginx/locations/admin.conf; }"
  [ -z "$STATIC_PATH" ] || echo "location $STATIC_PATH { include /etc/nginx/locations/static.conf; }"
  [ -z "$MEDIA_PATH" ] || echo "location $MEDIA_PATH { include /etc/nginx/locations/media.conf; }"
} > /run/nginx/locations.conf
echo "${ADMIN_PATH:+\"~*^GET  websocket$admin(/|\$)\" @admin-websocket;}" > /run/nginx/admin-websocket.conf
echo "${CACHE_PATH:+\"~^$cache\" pages;}" > /run/nginx/cache-path.conf
echo "${LOGIN_PATH:+\"POST $LOGIN_PATH\" \$binary_remote_addr;}" > /run/nginx/login-path.conf

# Who may name the client: snippets/forwarded-headers.conf.
{
  for range in ${TRUSTED_PROXIES:-}; do echo "set_real_ip_from $range;"; done
# shellcheck disable=SC2016 # variables of NGINX
  for map in '$realip_remote_addr $balanced' '$remote_addr $asked_by_balancer'; do
    echo "geo $map {"
    echo 'default "";'
    for range in ${TRUSTED_PROXIES:-}; do echo "$range 1;"; done
    echo '}'
  done
} > /run/nginx/trusted-proxies.conf
# Who answers an ACME server's question: snippets/tls.conf.
case ${ACME_HOST:-} in
  '') : > /run/nginx/acme.conf ;;
  *) echo "\"~^/\.well-known/acme-challenge/[A-Za-z0-9_-]+\$\" $ACME_HOST:8080;" > /run/nginx/acme.conf ;;
esac
echo "proxy_read_timeout ${READ_TIMEOUT}s;" > /run/nginx/read-timeout.conf
echo "limit_conn client $CLIENT_REQUESTS;" > /run/nginx/client-requests.conf
# Bodies that a killed process left behind (snippets/buffering.conf).
find /tmp -type f -mmin +60 -exec rm -f {} +

# (!) Without a complete account nobody gets in.
umask 077
user=${ADMIN_USER:-} hash=${ADMIN_PASSWORD_HASH:-}
printf '%s:%s\n' "$user" "$hash" > /run/nginx/admin.users
{
  if [ -n "$user" ] && [ -n "$hash" ]; then
    for range in ${ADMIN_ALLOW:-}; do echo "allow $range;"; done
    echo 'auth_basic "admin";'
    echo 'auth_basic_user_file /run/nginx/admin.users;'
  fi
  echo "deny all;"
} > /run/nginx/admin.conf
if [ $# -eq 0 ]; then watch-certificates.sh HUP & fi
exec nginx -g "daemon off;" "$@"
