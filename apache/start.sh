#!/bin/bash
# Checks the settings and becomes Apache. `start.sh -t` checks the configuration.
# Apache reads the settings and what this script exports from the environment.
set -eu
if [ $# -eq 0 ]; then watch-certificates.sh USR1 & fi
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "apache: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "apache: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac
case $READ_TIMEOUT in '' | [0-5] | 0* | *[!0-9]*) echo "apache: READ_TIMEOUT=$READ_TIMEOUT is not a number of seconds from 6" >&2; exit 1 ;; esac
# The paths that the proxies take for themselves. An empty path is off: it is the application's, like any other.
taken="" clash=""
for name in ADMIN_PATH CACHE_PATH STATIC_PATH MEDIA_PATH LOGIN_PATH; do
  eval "path=\${$name:-}"
  [ -n "$path" ] || continue
  end=/
  [ $name != LOGIN_PATH ] || end="/?"
  printf '%s' "$path" | grep -Eqx "(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+$end" || { echo "apache: $name=$path is not a path: begin and end it with /, and give letters, digits and . _ - between" >&2; exit 1; }
  for other in $taken; do
    case $path in "$other"*) clash=$other ;; esac
    case $other in "${path%/}/"*) clash=$other ;; esac
    [ -z "$clash" ] || { echo "apache: $name=$path and $clash are inside each other: give paths that are apart" >&2; exit 1; }
  done
  taken="$taken ${path%/}/"
done
case $BODY_LIMIT in [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;; *) echo "apache: BODY_LIMIT=$BODY_LIMIT is not a number of MiB from 1 to 999" >&2; exit 1 ;; esac

# The port as a client writes it: empty where it is the default port.
AUTHORITY_PORT=":$HTTPS_PORT"
[ "$HTTPS_PORT" != 443 ] || AUTHORITY_PORT=""
export AUTHORITY_PORT FIRST_NAME="${DOMAIN%% *}"

# Who may name the client: snippets/forwarded-headers.conf.
if [ -n "${TRUSTED_PROXIES:-}" ]; then
  FROM_BALANCER="" IS_BALANCER=""
  for range in $TRUSTED_PROXIES; do
    case $range in *[!0-9A-Fa-f:./]*) echo "apache: TRUSTED_PROXIES holds '$range': give addresses or networks, separated by spaces" >&2; exit 1 ;; esac
    # shellcheck disable=SC2089 # the quotes are for Apache's expression
    FROM_BALANCER="${FROM_BALANCER:+$FROM_BALANCER || }%{CONN_REMOTE_ADDR} -ipmatch '$range'"
    # shellcheck disable=SC2089
    IS_BALANCER="${IS_BALANCER:+$IS_BALANCER || }%{REMOTE_ADDR} -ipmatch '$range'"
  done
  # shellcheck disable=SC2090
  export FROM_BALANCER IS_BALANCER
  set -- -DBALANCED "$@"
fi

# Who answers an ACME server's question: site.conf.
[ -z "${ACME_HOST:-}" ] || set -- -DACME "$@"

# What Apache knows of the paths: whether they are taken (-D), and ADMIN_PATH as a pattern.
for name in ADMIN_PATH STATIC_PATH MEDIA_PATH; do
  eval "path=\${$name:-}"
  [ -z "$path" ] || set -- "-D$name" "$@"
done
ADMIN_PATTERN=$(printf '%s' "${ADMIN_PATH%/}" | sed 's/\./\\./g')
export ADMIN_PATTERN BODY_BYTES=$((BODY_LIMIT * 1048576))

# Without a complete account nobody gets in: snippets/access.conf.
if [ -n "${ADMIN_USER:-}" ] && [ -n "${ADMIN_PASSWORD_HASH:-}" ]; then
  (umask 077 && printf '%s:%s\n' "$ADMIN_USER" "$ADMIN_PASSWORD_HASH" > /run/apache/admin.users)
  set -- -DADMIN "$@"
fi

# In kB: no file of this process grows larger, so a chunked body cannot fill /tmp (snippets/limits.conf).
ulimit -f $((BODY_LIMIT * 1024))
# Bodies that a killed process left behind (snippets/buffering.conf).
find /tmp -type f -mmin +60 -exec rm -f {} +
exec httpd -DFOREGROUND -f /usr/local/apache2/conf/httpd.conf "$@"
