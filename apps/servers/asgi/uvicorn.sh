#!/bin/sh
# Uvicorn: the ASGI server on uvloop and httptools.
# Workers: processes on one shared socket
# Packages: uvicorn[standard]
# Docs: https://www.uvicorn.org/settings/
#
# --timeout-keep-alive
#   Seconds until an idle connection is closed. Default: 5. The value must be longer than the proxies' 15 s.
#   (!) Otherwise Uvicorn closes a connection while a proxy sends a request on it, and that request is lost.
# --timeout-graceful-shutdown
#   Seconds that a stop waits for requests in flight. Default: none.
#   (!) Without it a stop waits for the last request without a limit.
# --timeout-worker-healthcheck
#   Kills a worker that does not answer its parent for this many seconds. Default: 5.
#   (!) An application that takes longer to import is killed at start-up and at reload.
# --proxy-headers, --forwarded-allow-ips
#   The peers that may name the client's address and scheme. Default: 127.0.0.1. Here: the proxies' networks.
#   (!) With '*' every client can choose its own address.
# --no-access-log
#   Turns the access log off. Default: on. The proxies already write one.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience,
#   test_a_client_cannot_choose_its_own_address
set -eu
# (!) A worker that fails at the application's import ends, and its parent waits 30 s before it starts another one. With
# this import the error ends the container, so `make up` shows the error at once.
# Checked by: test_a_release_that_fails_at_its_import_says_so_at_once_and_changes_nothing
python3 -m app_runtime.load >/dev/null
exec uvicorn --host 0.0.0.0 --port 8000 --workers "$WORKERS" \
  --timeout-keep-alive "$KEEPALIVE" --timeout-graceful-shutdown "$GRACE" \
  --timeout-worker-healthcheck 30 \
  --proxy-headers --forwarded-allow-ips "$FORWARDED_ALLOW_IPS" --no-access-log \
  app_runtime.asgi:app
