"""A WSGI application that logs what reaches it. An ASGI server runs it through a2wsgi.

`/pieces` reads a body in two parts. `/leave` streams for three seconds. All other paths are those of the stack's plain
application.
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
    """Yields a piece every 50 ms; logs how many the server took before it closed the reply."""
    taken = 0
    try:
        for taken in range(1, PIECES + 1):  # noqa: B007
            yield b"piece\n"
            time.sleep(0.05)
    finally:
        print(f"THROUGH left {taken}", flush=True)


def native(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers a request by its path."""
    if environ["PATH_INFO"] == "/leave":
        start_response("200 OK", [("content-type", "text/plain")])
        return leave()
    if environ["PATH_INFO"] == "/pieces":
        first = len(environ["wsgi.input"].read(FIRST))
        print(f"THROUGH got {first}", flush=True)
        rest = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) - FIRST))
        start_response("200 OK", [("content-type", "text/plain")])
        return [str(first + rest).encode()]
    environ["wsgi.input_terminated"] = True
    return plain(environ, start_response)


on_asgi = os.environ["INTERFACE"] == "asgi"
app: Any = WSGIMiddleware(native, workers=int(os.environ["THREADS"])) if on_asgi else native
