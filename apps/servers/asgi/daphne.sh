#!/bin/sh
# Daphne: the ASGI server of the Django project, on Twisted.
# Workers: one process (no flag for more); scale by containers
# Docs: https://github.com/django/daphne
#
# -v 0
#   Sets the verbosity. Default: 1, which prints an access log. The proxies already write one.
# --ping-interval
#   Sends a WebSocket ping after this many seconds of silence. Default: 20.
#   A proxy ends a WebSocket that stays silent for long, so the pings keep an idle WebSocket open.
# app_runtime.daphne_lifespan runs the application's lifespan, because Daphne sends no lifespan events.
# Keep-alive has no flag. Twisted closes an idle connection after 60 s, which is longer than the proxies' 15 s.
#
# (!) Daphne has no graceful stop. A stop ends the requests in flight, so drain at the proxy first.
# (!) --proxy-headers is not set. With it Daphne believes the X-Forwarded-For of every peer.
#     apps/runtime/gateway.py believes the proxies only.
# (!) Daphne obeys the request header Daphne-Root-Path of every client. The proxies remove this header.
# (!) Where an application fails within a reply, Daphne fails for good. apps/runtime/daphne_adapter.py closes the connection instead.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_a_client_cannot_choose_its_own_address,
#   test_an_error_of_the_application_is_no_complete_reply
set -eu
exec daphne -b 0.0.0.0 -p 8000 -v 0 --ping-interval 20 app_runtime.daphne_adapter:app
