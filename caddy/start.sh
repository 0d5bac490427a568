#!/bin/sh
# Checks the settings, writes the lines that depend on the paths, and becomes Caddy with the arguments of this script. Caddy reads
# the other settings from the environment.
set -eu
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "caddy: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "caddy: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac
for range in ${TRUSTED_PROXIES:-}; do
  case $range in *[!0-9A-Fa-f:./]*) echo "caddy: TRUSTED_PROXIES holds '$range': give addresses or networks, separated by spaces" >&2; exit 1 ;; esac
done
case $READ_TIMEOUT in '' | [0-5] | 0* | *[!0-9]*) echo "caddy: READ_TIMEOUT=$READ_TIMEOUT is not a number of seconds from 6" >&2; exit 1 ;; esac
# The paths that the proxies take for themselves. An empty path is off: it is the application's, like any other.
taken="" clash=""
for name in ADMIN_PATH CACHE_PATH STATIC_PATH MEDIA_PATH LOGIN_PATH; do
  eval "path=\${$name:-}"
  [ -n "$path" ] || continue
  end=/
  [ $name != LOGIN_PATH ] || end="/?"
  printf '%s' "$path" | grep -Eqx "(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$end" || { echo "caddy: $name=$path is not a path: begin and end it with /, and give letters, digits and . _ - between" >&2; exit 1; }
  for other in $taken; do
    case $path in "$other"*) clash=$other ;; esac
    case $other in "${path%/}/"*) clash=$other ;; esac
    [ -z "$clash" ] || { echo "caddy: $name=$path and $clash are inside each other: give paths that are apart" >&2; exit 1; }
  done
  taken="$taken ${path%/}/"
done
case $BODY_LIMIT in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) echo "caddy: BODY_LIMIT=$BODY_LIMIT is not a number of MiB from 1 to 999" >&2; exit 1 ;; esac
# Other applications behind this proxy: docs/several-applications.md.
for site in ${SITES:-}; do
  printf '%s' "$site" | grep -Eqx '[A-Za-z0-9.-]+=[a-z0-9][a-z0-9_-]*' || { echo "caddy: SITES holds '$site': give host=project, separated by spaces" >&2; exit 1; }
  case " $DOMAIN " in *" ${site%%=*} "*) ;; *) echo "caddy: SITES holds ${site%%=*}, which is not in DOMAIN" >&2; exit 1 ;; esac
done

# Which path leads to which snippet: the Caddyfile imports this file.
{
  echo "# Written by start.sh."
  [ -z "$ADMIN_PATH" ] || echo "import admin ${ADMIN_PATH%/} $ADMIN_PATH*"
  [ -z "$STATIC_PATH" ] || echo "import static $STATIC_PATH*"
  [ -z "$MEDIA_PATH" ] || echo "import media $MEDIA_PATH*"
  [ -z "${SITES:-}" ] || {
    # (!) By default the case of the letters counts here, and Blog.example would lead to another application.
    echo "map {host} {app_host} {"
    for site in $SITES; do echo "~(?i)^$(echo "${site%%=*}" | sed 's/\./\\./g')\$ ${site#*=}-app"; done
    echo "default $APP_HOST"
    echo "}"
  }
} > /run/caddy/paths.caddy
# Seconds for a request: snippets/global/timeouts.caddy.
seconds=$((BODY_LIMIT * 6))
[ "$seconds" -ge 60 ] || seconds=60
echo "read_body ${seconds}s" > /run/caddy/read-body.caddy
# The server from which Caddy gets its own certificate, where it is another than Let's Encrypt and ZeroSSL: snippets/tls.caddy.
{
  echo "# Written by start.sh."
  case ${CADDY_TLS:-} in *@*)
    [ -z "${ACME_DIRECTORY:-}" ] || echo "ca $ACME_DIRECTORY"
    [ ! -s /etc/acme-ca.pem ] || echo "ca_root /etc/acme-ca.pem" ;;
  esac
} > /run/caddy/acme.caddy
# The name of the containers: that of the one application, or of the host's (SITES).
if [ -n "${SITES:-}" ]; then echo "name {app_host}"; else echo "name $APP_HOST"; fi > /run/caddy/app-name.caddy
if [ "${1:-}" = run ]; then watch-certificates.sh USR1 & fi
exec /usr/local/bin/caddy "$@"
