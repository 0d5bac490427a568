#!/bin/sh
# Gunicorn with one request per worker at a time (worker class sync, its default).
# Workers: processes on one shared socket
# Packages: gunicorn
# Docs: https://gunicorn.org/design/
#
# --timeout
#   Replaces a worker that is silent for this many seconds. Default: 30.
#   (!) A sync worker is silent during a request, so this is the longest time that a request may take.
# --graceful-timeout, --worker-tmp-dir, --no-control-socket, --forwarded-allow-ips, --forwarder-headers, --limit-request-*:
#   see ../asgi/gunicorn.sh
#
# (!) A slow client occupies a worker. Run this worker class only behind a proxy that buffers requests.
# A sync worker closes the connection after every reply, so there is no --keep-alive.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
exec gunicorn --worker-class sync --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --limit-request-line 0 --limit-request-field_size 65536 --limit-request-fields 200 \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --forwarder-headers "" \
  app_runtime.wsgi:app
