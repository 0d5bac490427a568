#!/bin/sh
# Granian: a Rust HTTP server (hyper) around Python workers.
# Workers: processes, one SO_REUSEPORT socket each
# Docs: https://github.com/emmett-framework/granian
#
# --blocking-threads            default 1 for WSGI: threads per worker that run the application
# --http 1, --http1-header-read-timeout, --respawn-failed-workers, --workers-kill-timeout: see ../asgi/granian.sh
# (!) An upload that breaks off looks complete to a WSGI application here: compare with CONTENT_LENGTH.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec granian --interface wsgi --host 0.0.0.0 --port 8000 \
  --workers "$WORKERS" --blocking-threads "$THREADS" --http 1 \
  --http1-header-read-timeout "$((KEEPALIVE * 1000))" \
  --respawn-failed-workers --workers-kill-timeout "$GRACE" \
  "apps.wsgi.$APP:app"
