"""The contract on Quart: its router, its request and response objects, and the shared handlers."""

import asyncio
from typing import Any

from quart import Quart, Response, request, websocket

from apps import work


async def respond(reply: work.Reply) -> Response:
    """Turns a handler's reply into a Quart response."""
    if reply.delay:
        await asyncio.sleep(reply.delay)
    response = Response(reply.body if isinstance(reply.body, bytes) else work.pace_async(reply.body), reply.status)
    response.headers.clear()
    response.headers.extend(reply.headers)
    return response


def make_view(handler: Any) -> Any:
    """Turns a handler into a Quart view."""

    async def answer(value: str = "") -> Response:
        body: Any = await request.get_data()
        return await respond(handler(work.Request(request.scope, body, value)))

    return answer


async def answer_unmatched(error: Exception) -> Response:
    """Answers a request that the router did not match, in the contract's words."""
    return await respond(work.reply_unmatched(request.method, request.path))


site = Quart(__name__, static_folder=None)
# The proxies limit size and time. Defaults: 16 MB, 60 s, and (!) 60 s for the whole reply, which ends a longer stream.
site.config |= {"MAX_CONTENT_LENGTH": None, "BODY_TIMEOUT": None, "RESPONSE_TIMEOUT": None}
for route in work.ROUTES:
    options: dict[str, Any] = {"methods": list(route.methods), "provide_automatic_options": False}
    site.add_url_rule(route.rule, route.rule, make_view(route.handler), **options)
site.register_error_handler(404, answer_unmatched)
site.register_error_handler(405, answer_unmatched)


@site.websocket(work.WEBSOCKET_PATH)
async def echo() -> None:
    """Echoes every message, text as text and bytes as bytes."""
    while True:
        await websocket.send(await websocket.receive())


app = site
