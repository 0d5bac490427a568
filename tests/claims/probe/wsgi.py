"""The WSGI application that the probe asks: each path shows one feature. The same for ASGI: asgi.py."""

import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from apps.runtime import gateway
from apps.wsgi.bare import read_body

LINK = "</style.css>; rel=preload; as=style"
EVENTS = 3
_meeting = threading.Barrier(2)


def events() -> Iterator[bytes]:
    """Makes each event when the client has acknowledged the event before, by a datagram: http1.ask_events."""
    acknowledged = 0
    with socket.socket(type=socket.SOCK_DGRAM) as acknowledgements:
        acknowledgements.bind(("", 0))
        acknowledgements.settimeout(3)
        place = f"{socket.gethostbyname(socket.gethostname())} {acknowledgements.getsockname()[1]}"
        for number in range(EVENTS):
            yield f"data: {place} {number}\n\n".encode()
            try:
                acknowledgements.recv(10)
            except TimeoutError:
                break
            acknowledged += 1
    yield f"data: acknowledged {acknowledged}\n\n".encode()


def meet() -> bytes:
    """Answers `met` if another request came while this request waited, else `alone`."""
    try:
        _meeting.wait(2)
    except threading.BrokenBarrierError:
        _meeting.reset()
        return b"alone"
    return b"met"


def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers a request by its path."""
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
        if "gunicorn.http2.send_trailers" in environ:  # Gunicorn's own name, because PEP 3333 has no trailers
            environ["gunicorn.http2.send_trailers"]([("x-sum", "7")])
        return [b"trailed"]
    if path == "/hints" and "wsgi.early_hints" in environ:  # Gunicorn's own name, because PEP 3333 has no early hints
        environ["wsgi.early_hints"]([("Link", LINK)])
    if path == "/meet":
        body = meet()
    elif path == "/echo":
        body = b"" if query == "unread" else read_body(environ)
    elif path == "/header":
        body = environ.get("HTTP_X_LONG", "").encode("latin-1")
    else:
        body = b"wsgi " + query.encode("latin-1")
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", str(len(body)))])
    return [body]


app = gateway.Wsgi(plain)  # the gateway has the list of servers that decode a chunked body
