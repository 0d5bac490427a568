#!/bin/sh
# Hypercorn: the ASGI and WSGI server on h11, h2 and wsproto.
# Workers: processes on one shared socket
# Docs: https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html
#
# --config
#   Settings without a flag: ../hypercorn.toml
# --backlog
#   Connections that may wait until a worker accepts them. Default: 100.
#   (!) In a longer burst the kernel drops the next connection attempt, and the client repeats it after a second.
# --keep-alive
#   Seconds until an idle connection is closed. Default: 5. The value must be longer than the proxies' 15 s.
#   (!) Otherwise Hypercorn closes a connection while a proxy sends a request on it, and that request is lost.
# --graceful-timeout
#   Seconds that a stop waits for requests in flight. Default: 3, which is too short for many requests.
# --websocket-ping-interval
#   Sends a WebSocket ping at this interval, in seconds. Default: none.
#   A proxy ends a WebSocket that stays silent for long, so the pings keep an idle WebSocket open.
#
# (!) With two workers or more a stop ends the requests in flight. For a graceful stop set WORKERS=1 and run more
#     containers.
# (!) Hypercorn always accepts `Upgrade: h2c`, and so opens a tunnel past the proxy's rules. The proxies pass on no
#     upgrade but WebSocket.
# (!) When a worker is killed, the server ends with exit code 0. Docker starts it again only with
#     `restart: unless-stopped` or `always`.
# The client's address comes from apps/runtime/gateway.py.
# The access log stays off, which is the default. The proxies write one.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_one_hypercorn_worker_does_let_the_request_finish,
#   test_an_upgrade_to_h2c_never_reaches_the_app
set -eu
exec hypercorn --config /srv/servers/hypercorn.toml --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --backlog 1024 --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --websocket-ping-interval 20 \
  asgi:app_runtime.asgi:app
