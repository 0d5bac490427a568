"""The contract on Django under ASGI: its router, its request and response objects, and the shared handlers.

Django answers HTTP only. The plain callable answers WebSocket and lifespan. Django has WebSocket in another package,
Channels.
"""

import asyncio
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.response import HttpResponseBase

from apps import _django, work
from apps.asgi.bare import plain


def make_view(handler: _django.Handler) -> Any:
    """Turns a handler into an asynchronous Django view."""

    async def answer(request: ASGIRequest, value: str = "") -> HttpResponseBase:
        reply = handler(work.Request(request.scope, request.body, value))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        return _django.respond(request, reply, () if isinstance(reply.body, bytes) else work.pace_async(reply.body))

    return answer


site = _django.make_site(ASGIHandler, ASGIRequest, make_view)


async def dispatch(scope: Any, receive: Any, send: Any) -> None:
    """Passes HTTP to Django, and everything else to the plain callable."""
    await (site if scope["type"] == "http" else plain)(scope, receive, send)


app = dispatch
