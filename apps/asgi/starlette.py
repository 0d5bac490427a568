"""The contract on Starlette: its router, its request and response objects, and the shared handlers."""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from apps import gateway, work


async def respond(reply: work.Reply) -> Response:
    """A handler's reply as a Starlette response."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = dict(reply.headers)
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, headers)
    return StreamingResponse(work.async_chunks(reply.body), reply.status, headers)


def endpoint(handler: Any) -> Any:
    """A handler as a Starlette endpoint."""

    async def answer(request: Request) -> Response:
        value = request.path_params.get("value", "")
        return await respond(handler(work.Request(request.scope, await request.body(), value)))

    return answer


async def unmatched(request: Request, error: Exception) -> Response:
    """What the router did not find, in the contract's words."""
    assert isinstance(error, HTTPException)
    found = work.match(request.method, request.url.path)
    return await respond(found if isinstance(found, work.Reply) else work.not_found())


async def echo(websocket: WebSocket) -> None:
    """Echoes every message, text as text and bytes as bytes."""
    await websocket.accept()
    while (event := await websocket.receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await websocket.send({"type": "websocket.send", kind: event[kind]})


site = Starlette(
    routes=[
        *(Route(route.path, endpoint(route.handler), methods=list(route.methods)) for route in work.ROUTES),
        WebSocketRoute(work.WEBSOCKET_PATH, echo),
    ],
    exception_handlers={404: unmatched, 405: unmatched},
)
site.router.redirect_slashes = False

app = gateway.Asgi(site)
