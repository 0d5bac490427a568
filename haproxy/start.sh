#!/bin/sh
# Checks the settings, puts the snippets into haproxy.cfg, and becomes HAProxy. `start.sh -c` checks the configuration.
set -eu
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "haproxy: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "haproxy: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac
case $READ_TIMEOUT in '' | [0-5] | 0* | *[!0-9]*) echo "haproxy: READ_TIMEOUT=$READ_TIMEOUT is not a number of seconds from 6" >&2; exit 1 ;; esac
case $CLIENT_REQUESTS in '' | 0* | *[!0-9]*) echo "haproxy: CLIENT_REQUESTS=$CLIENT_REQUESTS is not a number of requests" >&2; exit 1 ;; esac
case $LOGIN_RATE in '' | 0* | *[!0-9]*) echo "haproxy: LOGIN_RATE=$LOGIN_RATE is not a number of requests per second" >&2; exit 1 ;; esac
# The paths that the proxies take for themselves. An empty path is off: it is the application's, like any other.
taken="" clash=""
for name in ADMIN_PATH CACHE_PATH STATIC_PATH MEDIA_PATH LOGIN_PATH; do
  eval "path=\${$name:-}"
  [ -n "$path" ] || continue
  end=/
  [ $name != LOGIN_PATH ] || end="/?"
  printf '%s' "$path" | grep -Eqx "(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$end" || { echo "haproxy: $name=$path is not a path: begin and end it with /, and give letters, digits and . _ - between" >&2; exit 1; }
  for other in $taken; do
    case $path in "$other"*) clash=$other ;; esac
    case $other in "${path%/}/"*) clash=$other ;; esac
    [ -z "$clash" ] || { echo "haproxy: $name=$path and $clash are inside each other: give paths that are apart" >&2; exit 1; }
  done
  taken="$taken ${path%/}/"
done
case $BODY_LIMIT in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) echo "haproxy: BODY_LIMIT=$BODY_LIMIT is not a number of MiB from 1 to 999" >&2; exit 1 ;; esac

# The port as a client writes it: empty where it is the default port.
AUTHORITY_PORT=":$HTTPS_PORT"
[ "$HTTPS_PORT" != 443 ] || AUTHORITY_PORT=""
export AUTHORITY_PORT

# The admin area without its last slash (snippets/access.cfg), and the limit of a body in bytes (snippets/limits.cfg).
export ADMIN_AREA="${ADMIN_PATH%/}" BODY_BYTES=$((BODY_LIMIT * 1048576))

# Without a complete account nobody gets in (snippets/access.cfg). HAProxy still needs an account to read.
export ADMIN_OPEN=yes
if [ -z "${ADMIN_USER:-}" ] || [ -z "${ADMIN_PASSWORD_HASH:-}" ]; then
  export ADMIN_OPEN=no ADMIN_USER=nobody ADMIN_PASSWORD_HASH='*'
fi

# Who may name the client (snippets/forwarded-headers.cfg). HAProxy also reads the part that it skips where there is nobody.
for range in ${TRUSTED_PROXIES:-}; do
  case $range in *[!0-9A-Fa-f:./]*) echo "haproxy: TRUSTED_PROXIES holds '$range': give addresses or networks, separated by spaces" >&2; exit 1 ;; esac
done
export TRUSTED_PROXIES="${TRUSTED_PROXIES:-}"
export BALANCERS="${TRUSTED_PROXIES:-255.255.255.255}"

cd /usr/local/etc/haproxy
awk '$1 == "include" { while ((status = (getline line < $2)) > 0) print "    " line; close($2)
       if (status < 0) { print "haproxy: no file " $2 > "/dev/stderr"; exit 1 }
       next } { print }' haproxy.cfg > /run/haproxy/haproxy.cfg
if [ $# -eq 0 ]; then watch-certificates.sh USR2 & fi
exec haproxy -W -db -f snippets/sections -f /run/haproxy/haproxy.cfg "$@"
