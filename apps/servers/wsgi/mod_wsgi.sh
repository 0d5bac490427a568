#!/bin/sh
# mod_wsgi in daemon mode: Apache for the connections, processes beside it for the application.
# Workers: processes behind one shared socket
# Base: mod_wsgi
# Docs: https://modwsgi.readthedocs.io/
#
# It runs in an image of its own (apps/Dockerfile), since no other server needs Apache.
# -f                            its settings, each with its reason, are in mod_wsgi.conf: ${NAME} there is the environment's
# (!) TERM ends requests in flight; WINCH lets them finish, and is what its image has for a stop.
# (!) An application that does not start is answered with 500; the server runs on. `make up` sees it: it is never ready.
# Client address: from apps/gateway.py. No access log (the default): the proxies log.
# Checked by: test_every_flag_of_a_server_script_is_known_to_its_server, test_sigterm_lets_the_request_in_flight_finish
set -eu
export DRAIN="$((GRACE > 10 ? GRACE - 10 : 1))"
exec apache2 -DFOREGROUND -f /srv/apps/servers/wsgi/mod_wsgi.conf "$@"
