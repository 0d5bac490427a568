#!/bin/sh
# wsgiref: the reference WSGI server of Python's standard library. Not for production.
# Workers: one process, one request at a time
# Packages: none
# Docs: https://docs.python.org/3/library/wsgiref.html
#
# wsgiref has no command line. apps/runtime/reference.py starts the server and handles SIGTERM: the present request finishes.
# wsgiref closes the connection after every reply.
# Checked by: test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
exec python3 -m app_runtime.reference
