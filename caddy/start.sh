#!/bin/sh
# Writes what depends on the ACME server, and becomes Caddy. Arguments go to Caddy: start.sh hash-password
set -eu
case ${1:-} in
  run | validate)
    # Another ACME server than Caddy's own two (Let's Encrypt, ZeroSSL), and the authority that signed its certificate.
    {
      [ -z "${ACME_DIRECTORY:-}" ] || echo "acme_ca $ACME_DIRECTORY"
      [ ! -s /etc/acme-ca.pem ] || echo "acme_ca_root /etc/acme-ca.pem"
    } > /run/caddy/acme.caddy ;;
esac
[ "${1:-}" != run ] || watch-certificates.sh USR1 &
exec /usr/local/bin/caddy "$@"
