#!/bin/sh
# Checks the settings, writes the published port, the balancers and a time into the static configuration, and becomes Traefik.
# Traefik has no command that checks a configuration: `start.sh --check` starts Traefik, asks for its health, and ends.
set -eu
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "traefik: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "traefik: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac
for range in ${TRUSTED_PROXIES:-}; do
  case $range in *[!0-9A-Fa-f:./]*) echo "traefik: TRUSTED_PROXIES holds '$range': give addresses or networks, separated by spaces" >&2; exit 1 ;; esac
  balancers="${balancers:+$balancers, }'$range'"
done
case $READ_TIMEOUT in '' | [0-5] | 0* | *[!0-9]*) echo "traefik: READ_TIMEOUT=$READ_TIMEOUT is not a number of seconds from 6" >&2; exit 1 ;; esac
case $CLIENT_REQUESTS in '' | 0* | *[!0-9]*) echo "traefik: CLIENT_REQUESTS=$CLIENT_REQUESTS is not a number of requests" >&2; exit 1 ;; esac
case $LOGIN_RATE in '' | 0* | *[!0-9]*) echo "traefik: LOGIN_RATE=$LOGIN_RATE is not a number of requests per second" >&2; exit 1 ;; esac
# The paths that the proxies take for themselves. An empty path is off: it is the application's, like any other.
taken="" clash=""
for name in ADMIN_PATH CACHE_PATH STATIC_PATH MEDIA_PATH LOGIN_PATH; do
  eval "path=\${$name:-}"
  [ -n "$path" ] || continue
  end=/
  [ $name != LOGIN_PATH ] || end="/?"
  printf '%s' "$path" | grep -Eqx "(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$end" || { echo "traefik: $name=$path is not a path: begin and end it with /, and give letters, digits and . _ - between" >&2; exit 1; }
  for other in $taken; do
    case $path in "$other"*) clash=$other ;; esac
    case $other in "${path%/}/"*) clash=$other ;; esac
    [ -z "$clash" ] || { echo "traefik: $name=$path and $clash are inside each other: give paths that are apart" >&2; exit 1; }
  done
  taken="$taken ${path%/}/"
done
case $BODY_LIMIT in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) echo "traefik: BODY_LIMIT=$BODY_LIMIT is not a number of MiB from 1 to 999" >&2; exit 1 ;; esac
# Bodies that a killed process left behind (snippets/buffering.yaml).
find /tmp -type f -mmin +60 -exec rm -f {} +
seconds=$((BODY_LIMIT * 6))
[ "$seconds" -ge 60 ] || seconds=60
sed "s/: HTTPS_PORT/: $HTTPS_PORT/; s/: REQUEST_SECONDS/: ${seconds}s/; s|TRUSTED_PROXIES|${balancers:-}|" /etc/traefik/traefik.yaml > /run/traefik/traefik.yaml
if [ $# -eq 0 ]; then watch-certificates.sh HUP & fi
[ "${1:-}" = --check ] || exec traefik --configFile=/run/traefik/traefik.yaml "$@"

traefik --configFile=/run/traefik/traefik.yaml > /run/traefik/check.log 2>&1 &
wrong() { grep -E '"level":"(error|fatal)"' /run/traefik/check.log; }
tries=0
until healthcheck.sh || wrong > /dev/null || ! kill -0 $! 2>/dev/null || [ "$tries" -ge 100 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
healthy=no
! healthcheck.sh || healthy=yes
kill $! 2>/dev/null || true
wait $! || true
# A healthy Traefik may have left out a router that it did not understand. The log says so.
if [ $healthy = no ] || wrong; then
  cat /run/traefik/check.log >&2
  exit 1
fi
echo "traefik: the configuration is valid"
