"""The plain ASGI callable, without a framework. The cost of a framework is the difference from its cost."""

import asyncio
from typing import Any

from apps import work


async def read_body(receive: Any) -> bytes:
    """The request body; ConnectionError where the client left before its end."""
    pieces = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ConnectionError("the client left before the end of its body")
        pieces.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(pieces)


async def answer_http(scope: Any, receive: Any, send: Any) -> None:
    """Answers one request. A request that matches no route is answered before its body is read."""
    matched = work.match(scope["method"], scope["path"])
    if isinstance(matched, work.Reply):
        reply = matched
    else:
        handler, value = matched
        try:
            body = await read_body(receive)
        except ConnectionError:
            return
        reply = handler(work.Request(scope, body, value))
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if scope["method"] == "HEAD" or isinstance(reply.body, bytes):
        content = reply.body if isinstance(reply.body, bytes) and scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": content})
        return
    async for piece in work.pace_async(reply.body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def echo_websocket(scope: Any, receive: Any, send: Any) -> None:
    """Echoes every message on `/ws` and `/…/ws`, text as text and bytes as bytes. Refuses other paths."""
    await receive()
    if not scope["path"].endswith(work.WEBSOCKET_PATH):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})


async def confirm_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Confirms start-up and shutdown. The application has no resource to open or close."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{event['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


ANSWER = {"http": answer_http, "websocket": echo_websocket, "lifespan": confirm_lifespan}


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Passes each kind of connection to its function (ASGI 3)."""
    await ANSWER[scope["type"]](scope, receive, send)


app = plain
