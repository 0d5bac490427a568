#!/bin/sh
# Writes what depends on the ACME server, and becomes Caddy. Arguments go to Caddy: start.sh hash-password
set -eu
case ${1:-} in
  run | validate)
    # Where Caddy gets its own certificate: another server than its own two (Let's Encrypt, ZeroSSL), and the authority that
    # signed that server's certificate.
    {
      case ${CADDY_TLS:-} in *@*)
        [ -z "${ACME_DIRECTORY:-}" ] || echo "ca $ACME_DIRECTORY"
        [ ! -s /etc/acme-ca.pem ] || echo "ca_root /etc/acme-ca.pem" ;;
      esac
    } > /run/caddy/acme.caddy ;;
esac
if [ "${1:-}" = run ]; then watch-certificates.sh USR1 & fi
exec /usr/local/bin/caddy "$@"
