#!/bin/sh
# Granian: a Rust HTTP server (hyper) around Python workers.
# Workers: processes, one SO_REUSEPORT socket each
# Docs: https://github.com/emmett-framework/granian
#
# --http 1
#   Serves HTTP/1.1 only. Default: auto, which also accepts HTTP/2 without TLS.
#   The proxies send HTTP/1.1 to the application, so nothing else is needed.
# --http1-header-read-timeout
#   Milliseconds to wait for the head of a request. Default: 30000. Maximum: 60000.
#   The same time-out closes an idle kept-alive connection, so it must be longer than the proxies' 15 s.
# --respawn-failed-workers
#   Starts a new worker for one that died. Default: off. (!) Without it one killed worker ends the whole server.
# --workers-kill-timeout
#   Seconds that a stop waits for requests in flight. Default: none.
#   (!) Without it a stop waits for the last request without a limit.
# chrt --batch
#   Changes the scheduling policy of every thread of the server. Default: SCHED_OTHER.
#   Granian's network thread and Python's thread wake each other for every request.
#   By default a woken thread preempts the thread that woke it. SCHED_BATCH lets the waker finish first and saves a
#   context switch per request. Figures: docs/decisions/0011-sched-batch-for-threads-that-wake-each-other.md
#   With systemd: CPUSchedulingPolicy=batch
# The access log stays off, which is the default. The proxies write one, and a client could forge lines in Granian's.
# Checked by: test_threads_that_wake_each_other_wait_their_turn,
#   test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
chrt --batch --pid 0 $$ || true
exec granian --interface asgi --host 0.0.0.0 --port 8000 \
  --workers "$WORKERS" --http 1 \
  --http1-header-read-timeout "$((KEEPALIVE * 1000))" \
  --respawn-failed-workers --workers-kill-timeout "$GRACE" \
  app_runtime.asgi:app
