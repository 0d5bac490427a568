#!/bin/sh
# Daphne: the ASGI server of the Django project, on Twisted.
# Workers: one process (no flag for more); scale by containers
# Docs: https://github.com/django/daphne
#
# -v 0                          default 1 prints an access log: the proxies log
# --ping-interval               default 20 s: keeps idle WebSockets open through a proxy
# Keep-alive is Twisted's 60 s, no flag: longer than the proxies' 15 s.
# (!) It is never graceful: a stop ends requests in flight. Drain at the proxy first.
# (!) No --proxy-headers: it believes anybody's X-Forwarded-For; apps/gateway.py believes the proxies only.
# (!) It honours a request header Daphne-Root-Path from anybody: the proxies remove it.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish, test_a_client_cannot_choose_its_own_address
set -eu
exec daphne -b 0.0.0.0 -p 8000 -v 0 --ping-interval 20 "apps.asgi.$APP:app"
