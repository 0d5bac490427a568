#!/bin/sh
# Makes a local authority (ca.pem), which signs a certificate (fullchain.pem, privkey.pem) for the names in DOMAIN. Sites without
# a public authority need both for TLS.
#
# The script does not change other certificates, such as a folder of yours in CERTS. It renews its own certificate when fewer than
# 30 days are left or DOMAIN has changed. It never renews the authority (10 years), so that clients keep trusting it.
# Checked by: test_one_authority_serves_both_proxies, test_the_certificate_is_kept_until_its_names_change
set -eu
cd /certs
umask 027

if [ -e fullchain.pem ] && [ ! -e ca.pem ]; then
  echo "certs: using the certificate that is there"
  exit 0
fi

# The service acme keeps a public authority's certificate here, and renews it.
if [ -n "${ACME_EMAIL:-}" ] && [ "$(cat names 2>/dev/null)" = acme ]; then
  echo "certs: using the certificate that the service acme keeps"
  exit 0
fi

if [ ! -w . ]; then
  echo "certs: CERTS has no fullchain.pem and cannot be written: put fullchain.pem and privkey.pem there" >&2
  exit 1
fi

names=""
for name in $DOMAIN; do
  case $name in
    *[!A-Za-z0-9.-]*) echo "certs: DOMAIN holds '$name': give host names, separated by spaces" >&2; exit 1 ;;
    *[!0-9.]*) names="$names${names:+,}DNS:$name" ;;
    *) names="$names${names:+,}IP:$name" ;;
  esac
done

if [ ! -e ca.pem ] || [ ! -e ca.key ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -sha256 \
    -subj "/CN=Local authority of this stack" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout ca.key -out ca.pem 2>/dev/null
  chmod 600 ca.key && chmod 644 ca.pem
  echo "certs: made a local authority"
fi

if [ "$(cat names 2>/dev/null)" != "$names" ] || ! openssl x509 -in fullchain.pem -checkend 2592000 -noout >/dev/null 2>&1; then
  # The script makes the new pair beside the old one and then renames it, so that no reader sees half of a file.
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 \
    -subj "/CN=Site of this stack" -keyout privkey.new -out /tmp/request.pem 2>/dev/null
  printf '%s\n' "subjectAltName=$names" "basicConstraints=critical,CA:FALSE" \
    "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" > /tmp/extensions
  openssl x509 -req -in /tmp/request.pem -CA ca.pem -CAkey ca.key -days 397 -sha256 \
    -extfile /tmp/extensions -out fullchain.new 2>/dev/null
  chmod 640 privkey.new fullchain.new
  mv privkey.new privkey.pem && mv fullchain.new fullchain.pem
  printf '%s' "$names" > names
  echo "certs: signed a certificate for $names"
fi
