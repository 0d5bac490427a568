"""A WSGI application that announces five bytes and, on `/short`, sends three."""

from collections.abc import Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Sends five bytes, but three on `/short`."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"abc" if environ["PATH_INFO"] == "/short" else b"abcde"]
