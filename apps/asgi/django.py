"""The contract on Django under ASGI: its router, its request and response objects, and the shared handlers.

Django answers HTTP alone: no WebSocket (that is Channels, another package) and no lifespan; the plain callable does.
"""

import asyncio
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.response import HttpResponseBase

from apps import _django, gateway, work
from apps.asgi.bare import plain


def view(handler: _django.Handler) -> Any:
    """A handler as an asynchronous Django view."""

    async def answer(request: ASGIRequest, value: str = "") -> HttpResponseBase:
        reply = handler(work.Request(request.scope, request.body, value))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        return _django.respond(request, reply, () if isinstance(reply.body, bytes) else work.async_chunks(reply.body))

    return answer


class Request(ASGIRequest):
    """A request with routes of its own: the settings, which both interfaces share, name none."""

    urlconf = _django.urls(view)


class Site(ASGIHandler):
    """Django, and no middleware."""

    request_class = Request


site = Site()


async def whole(scope: Any, receive: Any, send: Any) -> None:
    """HTTP by Django, the rest by the plain callable."""
    await (site if scope["type"] == "http" else plain)(scope, receive, send)


app = gateway.Asgi(whole)
