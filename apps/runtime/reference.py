"""Starts the reference WSGI server of the standard library (PEP 3333). Not for production: one request at a time.

`wsgiref` has no command line, and SIGTERM ends it in the middle of a request. Here the server finishes the present
request and then stops.
Checked by: test_sigterm_lets_the_request_in_flight_finish
"""

import signal
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from .wsgi import app


class Handler(WSGIRequestHandler):
    """One connection, without an access log."""

    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Writes nothing, because the proxies write the access log."""


if __name__ == "__main__":  # the processes of a pool import this file too
    with make_server("0.0.0.0", 8000, app, handler_class=Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.1)
