"""Which is the smallest WSGI application? A callable. The talk's example; the reference server of Python serves it."""

import os
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import make_server


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers every request with the same words (PEP 3333)."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello world!"]


if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
