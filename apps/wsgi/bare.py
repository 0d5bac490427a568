"""The plain WSGI callable, without a framework. The cost of a framework is the difference from its cost."""

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from apps import work

REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def read_body(environ: dict[str, Any]) -> bytes:
    """The request body: Content-Length bytes, or all of a stream that the server itself ends."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return environ["wsgi.input"].read(int(length))
    return environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else b""


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers one request (PEP 3333)."""
    method = environ["REQUEST_METHOD"]
    matched = work.match(method, environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"))
    if isinstance(matched, work.Reply):
        reply = matched
    else:
        handler, value = matched
        reply = handler(work.Request(environ, read_body(environ), value))
    if reply.delay:
        time.sleep(reply.delay)
    start_response(REASONS.get(reply.status, f"{reply.status} Status"), reply.headers)
    if method == "HEAD" or reply.status in work.BODILESS:
        return []
    return [reply.body] if isinstance(reply.body, bytes) else work.pace(reply.body)


app = plain
