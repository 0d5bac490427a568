#!/bin/sh
# Daphne with a WSGI application through a2wsgi.
# Workers: one process (no flag for more); scale by containers
# Docs: https://github.com/django/daphne
#
# THREADS is the size of a2wsgi's thread pool (apps/wsgi_adapter.py). The flags and dangers: see ../asgi/daphne.sh
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
exec daphne -b 0.0.0.0 -p 8000 -v 0 apps.wsgi_adapter:app
