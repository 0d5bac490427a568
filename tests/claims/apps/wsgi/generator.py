"""A WSGI application that is a generator: `start_response` is called when the first piece is asked for (PEP 3333)."""

from collections.abc import Iterator
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Answers every request with 404 and a header."""
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("X-Lazy", "yes")])
    yield b"lazy"
