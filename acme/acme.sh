#!/bin/sh
# Gets a certificate for the names in DOMAIN from an ACME server, renews it in time, and puts it into /certs for the proxies.
# `acme.sh renew` tries once, and `acme.sh renew --force-renewal` does not wait until the certificate is old.
#
# The server asks for a file at http://name/.well-known/acme-challenge/…: the proxies pass such a request to this container.
# Certbot decides when a certificate is old: when the server says so (ARI), or after two thirds of its life.
# Checked by: test_a_first_certificate_is_served, test_a_renewal_loses_no_request, test_a_failing_server_changes_nothing
set -eu
umask 027

LOOK_AGAIN=21600    # seconds between two looks at the certificate: 6 h
FIRST_WAIT=60       # seconds after a first failure; four times as long after each further one, up to LOOK_AGAIN
# (!) Let's Encrypt refuses a name after 5 failures in an hour. Here are 4 tries in the first hour.

[ -n "${ACME_EMAIL:-}" ] || { echo "acme: ACME_EMAIL is empty: give an e-mail address" >&2; exit 1; }
for name in $DOMAIN; do
  case $name in
    *[!A-Za-z0-9.-]*) echo "acme: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;;
    *[!0-9.]*) names="${names:+$names,}$name" ;;
    *) echo "acme: DOMAIN holds the address $name: a certificate is for names" >&2; exit 1 ;;
  esac
done

# Each server has a folder of its own, so that another ACME_DIRECTORY gets a new certificate.
set_server() {
  home=/acme/$(printf %s "${ACME_DIRECTORY:-default}" | tr -c 'A-Za-z0-9.\n' _)
  server="${ACME_DIRECTORY:+--server $ACME_DIRECTORY}"
  # The authority that signed the ACME server's own certificate. Default: the public authorities.
  [ ! -s /etc/acme-ca.pem ] || export REQUESTS_CA_BUNDLE=/etc/acme-ca.pem
}

# Tries once. Prints one line where there is a new certificate, or none. $1: how certbot decides.
renew() {
  # shellcheck disable=SC2086 # $server is two words
  if ! output=$(certbot certonly --non-interactive --agree-tos --email "$ACME_EMAIL" $server --cert-name site \
    --domains "$names" --renew-with-new-domains "${1:---keep-until-expiring}" --standalone --http-01-port 8080 \
    --no-directory-hooks --config-dir "$home" --work-dir /tmp/certbot --logs-dir /tmp/certbot --max-log-backups 2 2>&1); then
    echo "acme: no certificate: $(printf %s "$output" | describe)" >&2
    return 1
  fi
  install_pair
}

# Certbot's reason in one line.
describe() {
  grep -vE '^(Saving debug log|Ask for help|Some challenges have failed|Requesting a|Renewing an|Hint:|- *$|[- ]*$)' |
    tr -s '\n ' '  ' | cut -c 1-600
}

# Puts the pair into /certs: beside the old one first, then by its name, so that no reader sees half of a file.
install_pair() {
  ! cmp -s "$home/live/site/fullchain.pem" /certs/fullchain.pem || return 0
  cp "$home/live/site/privkey.pem" /certs/privkey.new
  cp "$home/live/site/fullchain.pem" /certs/fullchain.new
  chmod 640 /certs/privkey.new /certs/fullchain.new
  printf acme > /certs/names   # the service certs leaves the pair alone
  mv /certs/privkey.new /certs/privkey.pem && mv /certs/fullchain.new /certs/fullchain.pem
  echo "acme: a new certificate for $names, until $(openssl x509 -in /certs/fullchain.pem -noout -enddate | cut -d = -f 2)"
}

set_server
if [ "${1:-}" = renew ]; then
  shift
  renew "$@"
  exit
fi

trap 'kill $! 2>/dev/null; exit 0' TERM INT
wait=$FIRST_WAIT
while :; do
  if renew; then
    wait=$FIRST_WAIT pause=$LOOK_AGAIN
  else
    pause=$wait wait=$((wait * 4))
    [ $wait -le $LOOK_AGAIN ] || wait=$LOOK_AGAIN
    echo "acme: the next try is in $pause s" >&2
  fi
  sleep "$pause" &
  wait $! || true
done
