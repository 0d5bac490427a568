#!/bin/sh
# Gunicorn as the process manager of Uvicorn's worker (package uvicorn-worker).
# Workers: processes on one shared socket
# Packages: gunicorn uvicorn[standard] uvicorn-worker
# Docs: https://github.com/Kludex/uvicorn-worker
#
# The flags are Gunicorn's: see gunicorn.sh
# Gunicorn's --keep-alive and --forwarded-allow-ips replace Uvicorn's own settings.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
exec gunicorn --worker-class uvicorn_worker.UvicornWorker --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --limit-request-line 0 --limit-request-field_size 65536 --limit-request-fields 200 \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --forwarder-headers "" \
  app_runtime.asgi:app
