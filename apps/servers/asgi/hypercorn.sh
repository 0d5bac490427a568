#!/bin/sh
# Hypercorn: the ASGI and WSGI server on h11, h2 and wsproto.
# Workers: processes on one shared socket
# Docs: https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html
#
# --backlog                     default 100 connections that wait to be taken: (!) the next one of a burst is not heard,
#                               and asks again after a second
# --keep-alive                  default 5 s: (!) less than the proxies' 15 s loses the request sent as it closes
# --graceful-timeout            default 3 s
# --websocket-ping-interval     default none: an idle WebSocket would end with a proxy's read timeout
# (!) With two workers or more a stop ends requests in flight: for a graceful one, WORKERS=1 and more containers.
# (!) It always accepts `Upgrade: h2c`, a tunnel past the proxy's rules: the proxies let only websocket through.
# (!) A worker that is killed ends the server with exit code 0: only `restart: unless-stopped` brings it back.
# Client address: from apps/gateway.py. No access log (the default): the proxies log.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish, test_an_upgrade_to_h2c_never_reaches_the_app
set -eu
exec hypercorn --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --backlog 1024 --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --websocket-ping-interval 20 \
  "asgi:apps.asgi.$APP:app"
