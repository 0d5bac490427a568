#!/bin/sh
# Tornado: its own HTTP server, hosting a WSGI application in a container of threads.
# Workers: processes on one shared socket
# Docs: https://www.tornadoweb.org/en/stable/wsgi.html
#
# It has no command line: apps/tornado_wsgi.py starts it, with
#   idle_connection_timeout     default 3600 s: how long an idle kept-alive connection lives
#   executor                    (!) default none: one request at a time, on the event loop; here THREADS threads
# (!) It collects a whole reply before it sends any of it: no streaming and no server-sent events from WSGI.
# (!) It reads each request body into memory, at most 100 MB.
# (!) Tornado's own handlers are neither WSGI nor ASGI: they run on this server only (apps/tornado_native.py).
# chrt --batch                  the event loop and the threads wake each other: see ../asgi/granian.sh
# Checked by: test_threads_that_wake_each_other_wait_their_turn, test_sigterm_lets_the_request_in_flight_finish, test_tornados_own_handlers_answer_on_tornados_own_server
set -eu
chrt --batch --pid 0 $$ || true
exec python3 -m apps.tornado_wsgi
