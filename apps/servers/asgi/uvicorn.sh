#!/bin/sh
# Uvicorn: the ASGI server on uvloop and httptools.
# Workers: processes on one shared socket
# Docs: https://www.uvicorn.org/settings/
#
# --timeout-keep-alive          default 5 s: (!) less than the proxies' 15 s loses the request sent as it closes
# --timeout-graceful-shutdown   (!) default none: a stop waits for the last request, however long
# --timeout-worker-healthcheck  default 5 s: (!) an application that imports longer is killed at start-up and reload
# --forwarded-allow-ips         who may name the client's address; (!) '*' believes the client itself
# --no-access-log               default on: the proxies log
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec uvicorn --host 0.0.0.0 --port 8000 --workers "$WORKERS" \
  --timeout-keep-alive "$KEEPALIVE" --timeout-graceful-shutdown "$GRACE" \
  --timeout-worker-healthcheck 30 \
  --proxy-headers --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --no-access-log \
  "apps.asgi.$APP:app"
