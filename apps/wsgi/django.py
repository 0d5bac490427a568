"""The contract on Django under WSGI: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http.response import HttpResponseBase

from apps import _django, gateway, work
from apps.wsgi.bare import body_of


def view(handler: _django.Handler) -> Any:
    """A handler as a synchronous Django view.

    (!) `request.body` is empty where a body is chunked: the body comes from the server's own stream. Django also
    decodes PATH_INFO in place; the handlers get it as the server sent it.
    """

    def answer(request: WSGIRequest, value: str = "") -> HttpResponseBase:
        environ = {**request.environ, "PATH_INFO": request.path_info.encode().decode("latin-1")}
        reply = handler(work.Request(environ, body_of(environ), value))
        if reply.delay:
            time.sleep(reply.delay)
        return _django.respond(request, reply, () if isinstance(reply.body, bytes) else work.chunks(reply.body))

    return answer


class Request(WSGIRequest):
    """A request with routes of its own: the settings, which both interfaces share, name none."""

    urlconf = _django.urls(view)


class Site(WSGIHandler):
    """Django, and no middleware."""

    request_class = Request


site = Site()

app = gateway.Wsgi(site)
