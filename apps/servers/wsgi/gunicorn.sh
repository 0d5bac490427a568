#!/bin/sh
# Gunicorn with threads (worker class gthread).
# Workers: processes on one shared socket
# Docs: https://gunicorn.org/reference/settings/
#
# --threads
#   Requests that one worker runs at the same time. Default: 1.
# --timeout
#   Replaces a worker that is silent for this many seconds. Default: 30.
#   (!) It does not find a stuck thread, because the worker itself still answers. Set time limits in the application.
# --keep-alive, --graceful-timeout, --worker-tmp-dir, --no-control-socket, --forwarded-allow-ips, --forwarder-headers,
# --limit-request-*:
#   see ../asgi/gunicorn.sh
#
# (!) Gunicorn never sets REMOTE_ADDR from a proxy's header. apps/runtime/gateway.py does it.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_a_client_cannot_choose_its_own_address
set -eu
exec gunicorn --worker-class gthread --bind 0.0.0.0:8000 --workers "$WORKERS" --threads "$THREADS" \
  --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --limit-request-line 0 --limit-request-field_size 65536 --limit-request-fields 200 \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --forwarder-headers "" \
  app_runtime.wsgi:app
