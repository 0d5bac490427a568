"""The contract on Quart: its router, its request and response objects, and the shared handlers."""

import asyncio
from typing import Any

from quart import Quart, Response, request, websocket

from apps import gateway, work


async def respond(reply: work.Reply) -> Response:
    """A handler's reply as a Quart response."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    response = Response(reply.body if isinstance(reply.body, bytes) else work.async_chunks(reply.body), reply.status)
    response.headers.clear()
    response.headers.extend(reply.headers)
    return response


def view(handler: Any) -> Any:
    """A handler as a Quart view."""

    async def answer(value: str = "") -> Response:
        body: Any = await request.get_data()
        return await respond(handler(work.Request(request.scope, body, value)))

    return answer


async def unmatched(error: Exception) -> Response:
    """What the router did not find, in the contract's words."""
    found = work.match(request.method, request.path)
    return await respond(found if isinstance(found, work.Reply) else work.not_found())


site = Quart(__name__, static_folder=None)
# Defaults 16 MB, 60 s and (!) 60 s for the whole reply, which ends a longer stream: the proxies bound size and time.
site.config |= {"MAX_CONTENT_LENGTH": None, "BODY_TIMEOUT": None, "RESPONSE_TIMEOUT": None}
for route in work.ROUTES:
    path = route.path.replace("{", "<").replace("}", ">")
    methods = list(route.methods)
    site.add_url_rule(path, path, view(route.handler), methods=methods, provide_automatic_options=False)
site.register_error_handler(404, unmatched)
site.register_error_handler(405, unmatched)


@site.websocket(work.WEBSOCKET_PATH)
async def echo() -> None:
    """Echoes every message, text as text and bytes as bytes."""
    while True:
        await websocket.send(await websocket.receive())


app = gateway.Asgi(site)
