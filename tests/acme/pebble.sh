#!/bin/sh
# Starts pebble as https://$NAME:14000/dir, with a certificate of its own in /tmp/cert.pem. VALIDITY: seconds for which the
# certificates hold that it signs. HTTP_PORT: where it asks for the site, 8080 in a proxy's container.
set -eu
cd /tmp
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -subj "/CN=$NAME" \
  -addext "subjectAltName=DNS:$NAME" -keyout key.pem -out cert.pem 2>/dev/null
cat > config.json <<END
{"pebble": {
  "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
  "certificate": "/tmp/cert.pem", "privateKey": "/tmp/key.pem", "httpPort": $HTTP_PORT, "tlsPort": $TLS_PORT,
  "retryAfter": {"authz": 1, "order": 1}, "certificateValidityPeriod": $VALIDITY,
  "profiles": {"default": {"description": "for tests", "validityPeriod": $VALIDITY}}
}}
END
pebble-challtestsrv -dnsserver 127.0.0.1:8053 -doh "" -http01 "" -https01 "" -tlsalpn01 "" -management 127.0.0.1:8055 -defaultIPv6 "" &
exec pebble -strict -config config.json -dnsserver 127.0.0.1:8053
