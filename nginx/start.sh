#!/bin/sh
# Writes the two lines that depend on the site, then becomes NGINX (or `start.sh -t`: checks the configuration).
set -eu
for name in $DOMAIN; do
  case $name in *[!A-Za-z0-9.-]*) echo "nginx: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;; esac
done
case $HTTPS_PORT in '' | *[!0-9]*) echo "nginx: HTTPS_PORT=$HTTPS_PORT is not a port number" >&2; exit 1 ;; esac

# The port as a client writes it: nothing where it is the default one.
port=":$HTTPS_PORT"
[ "$HTTPS_PORT" != 443 ] || port=""
cat > /run/nginx/site.conf <<EOF
server_name $DOMAIN;
set \$https_authority "\$host$port";
EOF
cat > /run/nginx/alt-svc.conf <<EOF
add_header Alt-Svc 'h3=":$HTTPS_PORT"; ma=86400' always;
EOF
exec nginx -g "daemon off;" "$@"
