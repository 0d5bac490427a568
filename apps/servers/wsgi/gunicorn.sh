#!/bin/sh
# Gunicorn with threads (worker class gthread).
# Workers: processes on one shared socket
# Docs: https://gunicorn.org/reference/settings/
#
# --threads                     default 1: requests that one worker runs at a time
# --timeout                     (!) finds a dead worker, not a stuck thread: bound the application's own waits
# --keep-alive, --graceful-timeout, --worker-tmp-dir, --no-control-socket, --forwarded-allow-ips: see ../asgi/gunicorn.sh
# (!) It never sets REMOTE_ADDR from a proxy's header: apps/gateway.py does.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec gunicorn --worker-class gthread --bind 0.0.0.0:8000 --workers "$WORKERS" --threads "$THREADS" \
  --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" \
  "apps.wsgi.$APP:app"
