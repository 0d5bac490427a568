#!/bin/sh
# Granian: a Rust HTTP server (hyper) around Python workers.
# Workers: processes, one SO_REUSEPORT socket each
# Docs: https://github.com/emmett-framework/granian
#
# --blocking-threads
#   Threads of each worker that run the application. Default for WSGI: 1.
#   One thread serves one request at a time, so the value is the number of requests that may wait for I/O.
# --http 1, --http1-header-read-timeout, --respawn-failed-workers, --workers-kill-timeout: see ../asgi/granian.sh
#
# (!) Granian ends a broken upload as if it were complete. The gateway notices it where the upload has a length.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
exec granian --interface wsgi --host 0.0.0.0 --port 8000 \
  --workers "$WORKERS" --blocking-threads "$THREADS" --http 1 \
  --http1-header-read-timeout "$((KEEPALIVE * 1000))" \
  --respawn-failed-workers --workers-kill-timeout "$GRACE" \
  app_runtime.wsgi:app
