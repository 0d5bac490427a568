"""The part that Starlette and FastAPI share: FastAPI uses Starlette's request and response objects."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from apps import work


async def respond(reply: work.Reply) -> Response:
    """Turns a handler's reply into a response."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = dict(reply.headers)
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, headers)
    return StreamingResponse(work.pace_async(reply.body), reply.status, headers)


def make_endpoint(handler: Any) -> Any:
    """Turns a handler into an endpoint of Starlette, or a path operation of FastAPI."""

    async def answer(request: Request) -> Response:
        value = request.path_params.get("value", "")
        return await respond(handler(work.Request(request.scope, await request.body(), value)))

    return answer


async def answer_unmatched(request: Request, error: Exception) -> Response:
    """Answers a request that the router did not match, in the contract's words."""
    return await respond(work.reply_unmatched(request.method, request.url.path))


async def echo(websocket: WebSocket) -> None:
    """Echoes every message, text as text and bytes as bytes."""
    await websocket.accept()
    while (event := await websocket.receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await websocket.send({"type": "websocket.send", kind: event[kind]})
