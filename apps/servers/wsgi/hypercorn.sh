#!/bin/sh
# Hypercorn: the ASGI and WSGI server on h11, h2 and wsproto.
# Workers: processes on one shared socket
# Docs: https://hypercorn.readthedocs.io/en/latest/how_to_guides/wsgi_apps.html
#
# The flags and their dangers: see ../asgi/hypercorn.sh
# The prefix `wsgi:` names the interface. Without it Hypercorn guesses the interface.
# The number of threads has no flag. Hypercorn uses the default thread pool of asyncio.
# chrt --batch
#   The event loop and the threads wake each other for every request: see ../asgi/granian.sh
#
# (!) Hypercorn holds each request body in memory, up to 16 MiB.
# Checked by: test_threads_that_wake_each_other_wait_their_turn,
#   test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
chrt --batch --pid 0 $$ || true
exec hypercorn --config /srv/servers/hypercorn.toml --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --backlog 1024 --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" \
  wsgi:app_runtime.wsgi:app
