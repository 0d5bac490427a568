#!/bin/sh
# Uvicorn with a WSGI application through a2wsgi (its own --interface wsgi is deprecated).
# Workers: processes on one shared socket
# Packages: uvicorn[standard] a2wsgi
# Docs: https://www.uvicorn.org/settings/
#
# The flags: see ../asgi/uvicorn.sh
# THREADS is the size of a2wsgi's thread pool (apps/runtime/wsgi_adapter.py).
# chrt --batch
#   The event loop and the threads wake each other for every request: see ../asgi/granian.sh
# Checked by: test_threads_that_wake_each_other_wait_their_turn,
#   test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
chrt --batch --pid 0 $$ || true
# (!) A worker that fails at the application's import ends, and its parent waits 30 s before it starts another one. With
# this import the error ends the container, so `make up` shows the error at once.
# Checked by: test_a_release_that_fails_at_its_import_says_so_at_once_and_changes_nothing
python3 -m app_runtime.load >/dev/null
exec uvicorn --host 0.0.0.0 --port 8000 --workers "$WORKERS" \
  --timeout-keep-alive "$KEEPALIVE" --timeout-graceful-shutdown "$GRACE" \
  --timeout-worker-healthcheck 30 \
  --proxy-headers --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --no-access-log \
  app_runtime.wsgi_adapter:app
