"""The chosen WSGI application as an ASGI application, through a2wsgi, for servers with ASGI only.

a2wsgi runs each request in one of THREADS threads. https://github.com/abersheeran/a2wsgi
"""

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from a2wsgi import WSGIMiddleware

application = import_module(f"apps.wsgi.{os.environ['APP']}").app


def mark_terminated(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Sets `wsgi.input_terminated`. a2wsgi's input ends where the body ends, but a2wsgi does not set the key."""
    environ["wsgi.input_terminated"] = True
    return application(environ, start_response)


adapter = WSGIMiddleware(mark_terminated, workers=int(os.environ["THREADS"]))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Passes each request to a2wsgi, which takes a broken upload for a complete one. Here it raises ConnectionError."""

    async def receive_or_fail() -> Any:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionError("the client left before the end of its body")
        return event

    await adapter(scope, receive_or_fail, send)
