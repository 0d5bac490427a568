#!/bin/sh
# Tornado: its own HTTP server, hosting a WSGI application in a container of threads.
# Workers: processes on one shared socket
# Docs: https://www.tornadoweb.org/en/stable/wsgi.html
#
# Tornado has no command line. apps/runtime/tornado_wsgi.py starts it with these settings:
# idle_connection_timeout
#   Seconds until an idle connection is closed. Default: 3600. The value must be longer than the proxies' 15 s.
# executor
#   The threads that run the application. Here: THREADS threads.
#   (!) Default: none, so the event loop runs one request at a time.
# chrt --batch
#   The event loop and the threads wake each other for every request: see ../asgi/granian.sh
#
# (!) Tornado collects the whole reply of a WSGI application before it sends the first byte. Streaming and server-sent
#     events do not work.
# (!) Tornado reads each request body into memory, up to 100 MB.
# (!) Tornado's own handlers are neither WSGI nor ASGI. They run on this server only (apps/tornado_native.py).
# Checked by: test_threads_that_wake_each_other_wait_their_turn,
#   test_sigterm_lets_a_reply_that_is_held_back_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_tornados_own_handlers_answer_on_tornados_own_server
set -eu
chrt --batch --pid 0 $$ || true
exec python3 -m app_runtime.tornado_wsgi
