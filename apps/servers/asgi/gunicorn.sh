#!/bin/sh
# Gunicorn with its own ASGI worker (since 24.0).
# Workers: processes on one shared socket
# Packages: gunicorn uvloop httptools
# Docs: https://gunicorn.org/reference/settings/
#
# --keep-alive
#   Seconds until an idle connection is closed. Default: 2. The value must be longer than the proxies' 15 s.
#   (!) Otherwise Gunicorn closes a connection while a proxy sends a request on it, and that request is lost.
# --graceful-timeout
#   Seconds that a stop waits for requests in flight. Default: 30. The value must be shorter than compose's
#   stop_grace_period. Otherwise Docker kills the server. A stop with an open stream may take all of this time.
# --timeout
#   Replaces a worker whose event loop is stuck for this many seconds. Default: 30.
# --worker-tmp-dir, --no-control-socket
#   Put the workers' heartbeat files into memory, and make no control socket.
#   Without these flags Gunicorn does not start cleanly, because the root file system is read-only.
# --forwarded-allow-ips
#   The peers that may say that the client used https. Default: this machine. Here: the proxies' networks.
#   The client's address comes from apps/runtime/gateway.py.
# --forwarder-headers
#   The headers with an underscore that such a peer may set. Default: SCRIPT_NAME,PATH_INFO. Here: none.
#   (!) Otherwise a client that gets `SCRIPT_NAME: /x` past a proxy reaches /admin/ as /x/admin/.
# --limit-request-line, --limit-request-field_size, --limit-request-fields
#   The size of the request line (0: no limit) and of one header in bytes, and the number of headers.
#   Defaults: 4094, 8190, 100. The proxies limit the head. (!) A lower limit than theirs is answered here, with 414 or 431.
# The access log stays off, which is the default. The proxies write one.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_a_header_moves_no_application
set -eu
exec gunicorn --worker-class asgi --bind 0.0.0.0:8000 --workers "$WORKERS" \
  --keep-alive "$KEEPALIVE" --graceful-timeout "$GRACE" --timeout 30 \
  --worker-tmp-dir /dev/shm --no-control-socket \
  --limit-request-line 0 --limit-request-field_size 65536 --limit-request-fields 200 \
  --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --forwarder-headers "" \
  app_runtime.asgi:app
