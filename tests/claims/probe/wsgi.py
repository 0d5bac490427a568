"""The WSGI application that the probes ask: each path shows what one feature needs. ASGI's twin: asgi.py."""

import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from apps import gateway

LINK = "</style.css>; rel=preload; as=style"
EVENTS = 3
_meeting = threading.Barrier(2)


def events() -> Iterator[bytes]:
    """Each event is made when the client has acknowledged the one before, by a datagram: see client.py."""
    acknowledged = 0
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("", 0))
        ear.settimeout(3)
        place = f"{socket.gethostbyname(socket.gethostname())} {ear.getsockname()[1]}"
        for number in range(EVENTS):
            yield f"data: {place} {number}\n\n".encode()
            try:
                ear.recv(10)
            except TimeoutError:
                break
            acknowledged += 1
    yield f"data: acknowledged {acknowledged}\n\n".encode()


def meet() -> bytes:
    """Says `met` if another request came while this one waited: two at once on one connection."""
    try:
        _meeting.wait(2)
    except threading.BrokenBarrierError:
        _meeting.reset()
        return b"alone"
    return b"met"


def body_of(environ: dict[str, Any]) -> bytes:
    """The whole request body."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return environ["wsgi.input"].read(int(length))
    return environ["wsgi.input"].read() if environ.get("wsgi.input_terminated") else b""


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers one request."""
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    if path == "/events":
        headers = [("content-type", "text/event-stream"), ("x-accel-buffering", "no"), ("cache-control", "no-cache")]
        start_response("200 OK", headers)
        return events()
    if path == "/stream":
        start_response("200 OK", [("content-type", "text/plain")])
        return iter((b"one ", b"two"))
    if path == "/trailers":
        start_response("200 OK", [("content-type", "text/plain")])
        if "gunicorn.http2.send_trailers" in environ:  # Gunicorn's own name; PEP 3333 has none
            environ["gunicorn.http2.send_trailers"]([("x-sum", "7")])
        return [b"trailed"]
    if path == "/hints" and "wsgi.early_hints" in environ:  # Gunicorn's own name, too
        environ["wsgi.early_hints"]([("Link", LINK)])
    if path == "/meet":
        body = meet()
    elif path == "/echo":
        body = b"" if query == "unread" else body_of(environ)
    elif path == "/header":
        body = environ.get("HTTP_X_LONG", "").encode("latin-1")
    else:
        body = b"wsgi " + query.encode("latin-1")
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", str(len(body)))])
    return [body]


app = gateway.Wsgi(plain)  # it knows which servers decode a chunked body
