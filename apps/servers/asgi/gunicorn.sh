#!/bin/sh
# Gunicorn with its own ASGI worker (since 24.0).
# Workers: processes on one shared socket
# Docs: https://gunicorn.org/reference/settings/
#
# --keep-alive                  default 2 s: (!) less than the proxies' 15 s loses the request sent as it closes
# --graceful-timeout            default 30 s: must end before compose's stop_grace_period; open WebSockets use it up
# --timeout                     default 30 s: a worker whose event loop is stuck that long is replaced
# --worker-tmp-dir, --no-control-socket   without them it does not start cleanly on a read-only root
# --forwarded-allow-ips         who may say that the client came by https; the address: apps/gateway.py
# No access log (the default): the proxies log.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec gunicorn --worker-class asgi --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" \
  "apps.asgi.$APP:app"
