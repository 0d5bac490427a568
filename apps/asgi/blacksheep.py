"""The contract on BlackSheep: its router, its request and response objects, and the shared handlers."""

import asyncio
from functools import partial
from typing import Any

from blacksheep import Application, Content, Request, Response, StreamedContent, WebSocket, WebSocketDisconnectError
from blacksheep.server.routing import Router

from apps import work


async def respond(reply: work.Reply) -> Response:
    """Turns a handler's reply into a BlackSheep response. Its content object sets the type and the length."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = {name.encode(): value.encode("latin-1") for name, value in reply.headers}
    kind, _ = headers.pop(b"content-type", b""), headers.pop(b"content-length", b"")
    content: Content | None = None
    if not isinstance(reply.body, bytes):
        content = StreamedContent(kind, partial(work.pace_async, reply.body))
    elif kind:
        content = Content(kind, reply.body)
    return Response(reply.status, list(headers.items()), content)


def make_endpoint(handler: Any) -> Any:
    """Turns a handler into a BlackSheep request handler."""

    async def answer(request: Request) -> Response:
        value = (request.route_values or {}).get("value") or ""
        return await respond(handler(work.Request(request.scope, await request.read() or b"", value)))

    return answer


async def answer_unmatched(request: Request) -> Response:
    """Answers a request that the router did not match, in the contract's words."""
    return await respond(work.reply_unmatched(request.method, request.path))


site = Application(router=Router())
for route in work.ROUTES:
    for method in route.answers:
        site.router.add(method, route.path, make_endpoint(route.handler))
site.router.fallback = answer_unmatched


@site.router.ws(work.WEBSOCKET_PATH)
async def echo(websocket: WebSocket) -> None:
    """Echoes every message, text as text and bytes as bytes."""
    await websocket.accept()
    try:
        while True:
            event: Any = await websocket.receive()
            text = event.get("text")
            await (websocket.send_bytes(event["bytes"]) if text is None else websocket.send_text(text))
    except WebSocketDisconnectError:
        return


app = site
