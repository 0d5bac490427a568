"""The ASGI application that the probes ask: each path shows what one feature needs. WSGI's twin: wsgi.py."""

import asyncio
import contextlib
import socket
from typing import Any

LINK = b"</style.css>; rel=preload; as=style"
EVENTS = 3
_meeting: list[asyncio.Event] = []


async def body_of(receive: Any) -> bytes:
    """The whole request body."""
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    return body


async def answer(send: Any, body: bytes, kind: bytes = b"text/plain") -> None:
    """A reply in one piece, its length announced."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hints(scope: Any, send: Any) -> None:
    """103 before 200: by the extension's name; Gunicorn has a name of its own and does not announce it."""
    if "http.response.early_hint" in scope.get("extensions", {}):
        await send({"type": "http.response.early_hint", "links": [LINK]})
    else:
        with contextlib.suppress(Exception):  # no server has to know it
            await send({"type": "http.response.informational", "status": 103, "headers": [(b"link", LINK)]})
    await answer(send, b"hinted")


async def trailers(scope: Any, send: Any) -> None:
    """A header after the body, where the server says that it can."""
    can = "http.response.trailers" in scope.get("extensions", {})
    headers = [(b"content-type", b"text/plain"), *([(b"trailer", b"x-sum")] if can else [])]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": can})
    await send({"type": "http.response.body", "body": b"trailed"})
    if can:
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")], "more_trailers": False})


async def events(send: Any) -> None:
    """Each event is made when the client has acknowledged the one before, by a datagram: see client.py."""
    headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    acknowledged = 0
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("", 0))
        ear.settimeout(3)
        place = f"{socket.gethostbyname(socket.gethostname())} {ear.getsockname()[1]}"
        for number in range(EVENTS):
            await send(
                {"type": "http.response.body", "body": f"data: {place} {number}\n\n".encode(), "more_body": True}
            )
            try:
                await asyncio.get_running_loop().run_in_executor(None, ear.recv, 10)
            except TimeoutError:
                break
            acknowledged += 1
    await send({"type": "http.response.body", "body": f"data: acknowledged {acknowledged}\n\n".encode()})


async def meet(send: Any) -> None:
    """Says `met` if another request came while this one waited: two at once on one connection."""
    if _meeting:
        _meeting.pop().set()
        await answer(send, b"met")
        return
    event = asyncio.Event()
    _meeting.append(event)
    try:
        await asyncio.wait_for(event.wait(), 2)
        await answer(send, b"met")
    except TimeoutError:
        _meeting.clear()
        await answer(send, b"alone")


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Answers one request."""
    path, query = scope["path"], scope["query_string"]
    if path == "/hints":
        await hints(scope, send)
    elif path == "/trailers":
        await trailers(scope, send)
    elif path == "/events":
        await events(send)
    elif path == "/meet":
        await meet(send)
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for piece in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/echo":
        await answer(send, b"" if query == b"unread" else await body_of(receive), b"application/octet-stream")
    elif path == "/header":
        await answer(send, dict(scope["headers"]).get(b"x-long", b""))
    else:
        await answer(send, b"asgi " + query)


async def websocket(receive: Any, send: Any) -> None:
    """Echoes text."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text") or ""})


async def lifespan(receive: Any, send: Any) -> None:
    """Nothing to open or close."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{event['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Hands each kind of connection to its function."""
    if scope["type"] == "http":
        await http(scope, receive, send)
    else:
        await {"websocket": websocket, "lifespan": lifespan}[scope["type"]](receive, send)
