#!/bin/sh
# Lets the proxy, process 1 of this container, read its certificate again when the files in /certs have changed. Runs beside
# the proxy. $1: the proxy's signal. The same file is in each proxy's folder.
# Checked by: test_a_changed_certificate_is_served_without_make_up
set -u
read_sum() { sha256sum /certs/fullchain.pem /certs/privkey.pem 2>/dev/null; }
served=$(read_sum)
while sleep 5; do
  present=$(read_sum) || continue          # no pair of files at the moment
  [ "$present" != "$served" ] || continue
  sleep 1
  [ "$(read_sum)" = "$present" ] || continue   # (!) the pair is being replaced: a key without its certificate
  echo "certificates: /certs has changed, so the proxy reads it again" >&2
  kill -s "$1" 1
  served=$present
done
