#!/bin/sh
# Granian: a Rust HTTP server (hyper) around Python workers.
# Workers: processes, one SO_REUSEPORT socket each
# Docs: https://github.com/emmett-framework/granian
#
# --http 1                      default auto: also HTTP/2 without TLS; the proxies speak HTTP/1.1 to the app
# --http1-header-read-timeout   default 30000 ms, at most 60000: also how long an idle kept-alive connection
#                               lives; must outlast the proxies' 15 s
# --respawn-failed-workers      (!) default off: one killed worker ends the whole server
# --workers-kill-timeout        (!) default off: a stop waits for the last request, however long
# No access log (the default): the proxies log. It would let a client write lines of its own into it.
# chrt --batch                  its network thread and Python's wake each other for every request. By default whoever is
#                               woken interrupts whoever woke it; so, it waits until that has no more to do: on a full core
#                               0.57 of the CPU time (docs/decisions/0011-threads-that-wait-their-turn.md). systemd:
#                               CPUSchedulingPolicy=batch
# Checked by: test_threads_that_wake_each_other_wait_their_turn, test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
chrt --batch --pid 0 $$ || true
exec granian --interface asgi --host 0.0.0.0 --port 8000 \
  --workers "$WORKERS" --http 1 \
  --http1-header-read-timeout "$((KEEPALIVE * 1000))" \
  --respawn-failed-workers --workers-kill-timeout "$GRACE" \
  "apps.asgi.$APP:app"
