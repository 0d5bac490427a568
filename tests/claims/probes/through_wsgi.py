"""A WSGI application that says what reaches it; on an ASGI server, through a2wsgi.

`/pieces` reads a body in two parts, `/leave` streams for three seconds; all else is the stack's plain application.
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from a2wsgi import WSGIMiddleware

from apps.wsgi.bare import plain

FIRST = 65536
PIECES = 60


def leave() -> Iterator[bytes]:
    """A piece every 50 ms; says how many were taken before the reply was closed."""
    taken = 0
    try:
        for taken in range(1, PIECES + 1):  # noqa: B007
            yield b"piece\n"
            time.sleep(0.05)
    finally:
        print(f"THROUGH left {taken}", flush=True)


def native(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers one request."""
    if environ["PATH_INFO"] == "/leave":
        start_response("200 OK", [("content-type", "text/plain")])
        return leave()
    if environ["PATH_INFO"] == "/pieces":
        some = len(environ["wsgi.input"].read(FIRST))
        print(f"THROUGH got {some}", flush=True)
        rest = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) - FIRST))
        start_response("200 OK", [("content-type", "text/plain")])
        return [str(some + rest).encode()]
    environ["wsgi.input_terminated"] = True
    return plain(environ, start_response)


on_asgi = os.environ["INTERFACE"] == "asgi"
app: Any = WSGIMiddleware(native, workers=int(os.environ["THREADS"])) if on_asgi else native
