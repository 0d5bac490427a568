"""The ASGI application that the probe asks: each path shows one feature. The same for WSGI: wsgi.py."""

import asyncio
import contextlib
import socket
from typing import Any

LINK = b"</style.css>; rel=preload; as=style"
EVENTS = 3
_meeting: list[asyncio.Event] = []


async def body_of(receive: Any) -> bytes:
    """Reads the request body to its end."""
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    return body


async def reply(send: Any, body: bytes, kind: bytes = b"text/plain") -> None:
    """Sends a reply in one piece, with its length announced."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hints(scope: Any, send: Any) -> None:
    """Sends 103 before 200, by the name of the ASGI extension.

    Gunicorn has another name for the event and does not announce it.
    """
    if "http.response.early_hint" in scope.get("extensions", {}):
        await send({"type": "http.response.early_hint", "links": [LINK]})
    else:
        with contextlib.suppress(Exception):  # a server may refuse the event
            await send({"type": "http.response.informational", "status": 103, "headers": [(b"link", LINK)]})
    await reply(send, b"hinted")


async def trailers(scope: Any, send: Any) -> None:
    """Sends a header after the body, where the server announces that extension."""
    has_trailers = "http.response.trailers" in scope.get("extensions", {})
    headers = [(b"content-type", b"text/plain"), *([(b"trailer", b"x-sum")] if has_trailers else [])]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": has_trailers})
    await send({"type": "http.response.body", "body": b"trailed"})
    if has_trailers:
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")], "more_trailers": False})


async def events(send: Any) -> None:
    """Makes each event when the client has acknowledged the event before, by a datagram: http1.ask_events."""
    headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    acknowledged = 0
    with socket.socket(type=socket.SOCK_DGRAM) as acknowledgements:
        acknowledgements.bind(("", 0))
        acknowledgements.settimeout(3)
        place = f"{socket.gethostbyname(socket.gethostname())} {acknowledgements.getsockname()[1]}"
        for number in range(EVENTS):
            await send(
                {"type": "http.response.body", "body": f"data: {place} {number}\n\n".encode(), "more_body": True}
            )
            try:
                await asyncio.get_running_loop().run_in_executor(None, acknowledgements.recv, 10)
            except TimeoutError:
                break
            acknowledged += 1
    await send({"type": "http.response.body", "body": f"data: acknowledged {acknowledged}\n\n".encode()})


async def meet(send: Any) -> None:
    """Answers `met` if another request came while this request waited, else `alone`."""
    if _meeting:
        _meeting.pop().set()
        await reply(send, b"met")
        return
    event = asyncio.Event()
    _meeting.append(event)
    try:
        await asyncio.wait_for(event.wait(), 2)
        await reply(send, b"met")
    except TimeoutError:
        _meeting.clear()
        await reply(send, b"alone")


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Answers a request by its path."""
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
        await reply(send, b"" if query == b"unread" else await body_of(receive), b"application/octet-stream")
    elif path == "/header":
        await reply(send, dict(scope["headers"]).get(b"x-long", b""))
    else:
        await reply(send, b"asgi " + query)


async def websocket(receive: Any, send: Any) -> None:
    """Echoes text."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text") or ""})


async def lifespan(receive: Any, send: Any) -> None:
    """Confirms start-up and shutdown. There is nothing to open or close."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{event['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Passes each type of scope to its function."""
    if scope["type"] == "http":
        await http(scope, receive, send)
    else:
        await {"websocket": websocket, "lifespan": lifespan}[scope["type"]](receive, send)
