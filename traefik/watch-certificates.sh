#!/bin/sh
# Lets the proxy, process 1 of this container, read its certificate again when the files in /certs have changed. Runs beside
# the proxy. $1: the proxy's signal. The same file is in each proxy's folder.
# Checked by: test_every_proxy_notices_a_renewed_certificate, test_a_changed_certificate_is_served_without_make_up
set -u

# The first lines of a certificate hold its serial number and its dates. The shell reads them without another process.
read_head() {
  head=""
  { while read -r line && [ ${#head} -lt 400 ]; do head=$head$line; done; } 2>/dev/null < /certs/fullchain.pem
}

read_head
served=$head
while sleep 5; do
  read_head
  [ "$head" != "$served" ] || continue
  present=$head
  sleep 1   # (!) the key may come after its certificate
  read_head
  [ -n "$head" ] && [ "$head" = "$present" ] || continue
  echo "certificates: /certs has changed, so the proxy reads it again" >&2
  kill -s "$1" 1
  served=$head
done
