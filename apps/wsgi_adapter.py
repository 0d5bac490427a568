"""The chosen WSGI application as an ASGI one, through a2wsgi, for servers that speak ASGI only.

a2wsgi runs each request in one of THREADS threads. https://github.com/abersheeran/a2wsgi
"""

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from a2wsgi import WSGIMiddleware

application = import_module(f"apps.wsgi.{os.environ['APP']}").app


def terminated(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Says what is true of a2wsgi's input and what it does not say: reading it ends where the body does."""
    environ["wsgi.input_terminated"] = True
    return application(environ, start_response)


app = WSGIMiddleware(terminated, workers=int(os.environ["THREADS"]))
