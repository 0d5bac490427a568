"""The plain ASGI callable: no framework, the floor that a framework's cost is measured from."""

import asyncio
from typing import Any

from apps import gateway, work


async def body_of(receive: Any) -> bytes:
    """The whole request body; ConnectionError where the client left before its end."""
    pieces = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionError("the client left before the end of its body")
        pieces.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(pieces)


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Answers one request."""
    found = work.match(scope["method"], scope["path"])
    try:
        body = await body_of(receive)
    except ConnectionError:
        return
    reply = found if isinstance(found, work.Reply) else found[0](work.Request(scope, body, found[1]))
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if scope["method"] == "HEAD" or isinstance(reply.body, bytes):
        whole = reply.body if isinstance(reply.body, bytes) and scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": whole})
        return
    async for piece in work.async_chunks(reply.body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """Echoes every message on `/ws`, text as text and bytes as bytes; refuses other paths."""
    await receive()
    if scope["path"] != work.WEBSOCKET_PATH:
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Says yes to start-up and shutdown; there is nothing to open or close."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{event['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Hands each kind of connection to its function (ASGI 3)."""
    await {"http": http, "websocket": websocket, "lifespan": lifespan}[scope["type"]](scope, receive, send)


app = gateway.Asgi(plain)
