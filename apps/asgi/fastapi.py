"""The contract on FastAPI: its router, its request and response objects, and the shared handlers."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from apps import gateway, work


async def respond(reply: work.Reply) -> Response:
    """A handler's reply as a FastAPI response."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    headers = dict(reply.headers)
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, headers)
    return StreamingResponse(work.async_chunks(reply.body), reply.status, headers)


def endpoint(handler: Any) -> Any:
    """A handler as a FastAPI path operation."""

    async def answer(request: Request) -> Response:
        value = request.path_params.get("value", "")
        return await respond(handler(work.Request(request.scope, await request.body(), value)))

    return answer


async def unmatched(request: Request, error: Exception) -> Response:
    """What the router did not find, in the contract's words."""
    found = work.match(request.method, request.url.path)
    return await respond(found if isinstance(found, work.Reply) else work.not_found())


# No /docs, /redoc and /openapi.json (default on): what is not in the contract is not published.
site = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers={404: unmatched, 405: unmatched})
for route in work.ROUTES:
    # Unlike Starlette's, its GET brings no HEAD.
    site.add_api_route(route.path, endpoint(route.handler), methods=list(route.answers), response_model=None)


@site.websocket(work.WEBSOCKET_PATH)
async def echo(websocket: WebSocket) -> None:
    """Echoes every message, text as text and bytes as bytes."""
    await websocket.accept()
    while (event := await websocket.receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await websocket.send({"type": "websocket.send", kind: event[kind]})


app = gateway.Asgi(site)
