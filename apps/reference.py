"""The reference WSGI server of the standard library, stoppable. Not for production: one request at a time.

`wsgiref` has no command line and dies on SIGTERM with a request half done; here SIGTERM ends the loop after
the request in hand. PEP 3333.
"""

import os
import signal
import threading
from importlib import import_module
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Handler(WSGIRequestHandler):
    """One connection: no access log, and no look-up of the client's name."""

    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """The proxies log."""


application = import_module(f"apps.wsgi.{os.environ['APP']}").app
with make_server("0.0.0.0", 8000, application, handler_class=Handler) as server:
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
