#!/bin/sh
# Gunicorn with one request per worker at a time (worker class sync, its default).
# Workers: processes on one shared socket
# Docs: https://gunicorn.org/design/
#
# (!) A slow client holds a worker: only behind a proxy that buffers requests. It never keeps a connection alive.
# --timeout                     (!) also the longest that one request may take: the worker is killed
# --graceful-timeout, --worker-tmp-dir, --no-control-socket, --forwarded-allow-ips: see ../asgi/gunicorn.sh
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec gunicorn --worker-class sync --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" \
  "apps.wsgi.$APP:app"
