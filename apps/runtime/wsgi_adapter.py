"""The chosen WSGI application as an ASGI application, through a2wsgi, for servers with ASGI only.

a2wsgi runs each request in one of THREADS threads. https://github.com/abersheeran/a2wsgi
"""

import os
from collections.abc import Iterable
from typing import Any

from a2wsgi import WSGIMiddleware

from .request_body import AsgiBody, read_length
from .wsgi import app as application


def mark_terminated(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Sets `wsgi.input_terminated`. a2wsgi's input ends where the body ends, but a2wsgi does not set the key."""
    environ["wsgi.input_terminated"] = True
    return application(environ, start_response)


adapter = WSGIMiddleware(mark_terminated, workers=int(os.environ["THREADS"]))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Passes each request to a2wsgi, and mends two things where the request has a body.

    a2wsgi takes a broken upload for a complete one. Here the application gets ConnectionError. a2wsgi also sends the
    start of a reply at once. Then NGINX sends no more of the body, which the gateway still reads. Here the start waits
    for the first piece.
    """
    length = read_length(scope["headers"]) if scope["type"] == "http" else 0
    if not length:
        await adapter(scope, receive, send)
        return
    body = AsgiBody(length, receive, send)

    async def receive_or_fail() -> Any:
        event = await body.receive()
        if event["type"] == "http.disconnect":
            raise ConnectionError("the client left before the end of its body")
        return event

    await adapter(scope, receive_or_fail, body.send)
