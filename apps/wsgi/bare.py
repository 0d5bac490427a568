"""The plain WSGI callable: no framework, the floor that a framework's cost is measured from."""

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from apps import gateway, work

REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def body_of(environ: dict[str, Any]) -> bytes:
    """The whole request body: as long as announced, or, where the server ends the stream itself, to its end."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return environ["wsgi.input"].read(int(length))
    return environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else b""


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers one request (PEP 3333)."""
    method = environ["REQUEST_METHOD"]
    found = work.match(method, environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"))
    reply = found if isinstance(found, work.Reply) else found[0](work.Request(environ, body_of(environ), found[1]))
    if reply.delay:
        time.sleep(reply.delay)
    start_response(REASONS.get(reply.status, f"{reply.status} Status"), reply.headers)
    if method == "HEAD" or reply.status in work.BODILESS:
        return []
    return [reply.body] if isinstance(reply.body, bytes) else work.chunks(reply.body)


app = gateway.Wsgi(plain)
