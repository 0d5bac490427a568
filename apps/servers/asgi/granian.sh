#!/bin/sh
# Granian: a Rust HTTP server (hyper) around Python workers.
# Workers: processes, one SO_REUSEPORT socket each
# Docs: https://github.com/emmett-framework/granian
#
# --http 1                      default auto: also HTTP/2 without TLS; the proxies speak HTTP/1.1 to the app
# --http1-header-read-timeout   default 30000 ms, at most 60000: also how long an idle kept-alive connection
#                               lives; must outlast the proxies' 15 s
# --respawn-failed-workers      (!) default off: one killed worker ends the whole server
# --workers-kill-timeout        (!) default off: a stop waits for the last request, however long
# No access log (the default): the proxies log. It would let a client write lines of its own into it.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec granian --interface asgi --host 0.0.0.0 --port 8000 \
  --workers "$WORKERS" --http 1 \
  --http1-header-read-timeout "$((KEEPALIVE * 1000))" \
  --respawn-failed-workers --workers-kill-timeout "$GRACE" \
  "apps.asgi.$APP:app"
