#!/bin/sh
# wsgiref: the reference WSGI server of Python's standard library. Not for production.
# Workers: one process, one request at a time
# Docs: https://docs.python.org/3/library/wsgiref.html
#
# It has no command line: apps/reference.py starts it and lets SIGTERM finish the request in hand.
# Checked by: test_sigterm_lets_the_request_in_flight_finish
set -eu
exec python3 -m apps.reference
