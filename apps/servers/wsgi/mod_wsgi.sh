#!/bin/sh
# mod_wsgi in daemon mode: Apache for the connections, processes beside it for the application.
# Workers: processes behind one shared socket
# Base: mod_wsgi
# Packages: none
# Docs: https://modwsgi.readthedocs.io/
#
# The server runs in an image of its own (apps/Dockerfile), because no other server needs Apache.
# -f
#   The configuration file: mod_wsgi.conf, with a reason for each setting.
#   `${NAME}` in that file is an environment variable.
#
# (!) SIGTERM ends the requests in flight. SIGWINCH lets them finish, so it is the stop signal of the image.
# (!) When the application fails to start, Apache keeps running and answers 500. `make up` notices, because the
#     application never becomes ready.
# The client's address comes from apps/runtime/gateway.py.
# The access log stays off, which is the default. The proxies write one.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server,
#   test_sigterm_lets_the_request_in_flight_finish,
#   test_an_idle_connection_outlives_the_proxies_patience
set -eu
export DRAIN="$((GRACE > 10 ? GRACE - 10 : 1))"
exec apache2 -DFOREGROUND -f /srv/servers/wsgi/mod_wsgi.conf "$@"
