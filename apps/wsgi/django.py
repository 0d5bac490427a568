"""The contract on Django under WSGI: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http.response import HttpResponseBase

from apps import _django, work
from apps.wsgi.bare import read_body


def make_view(handler: _django.Handler) -> Any:
    """Turns a handler into a synchronous Django view.

    (!) `request.body` is empty where a body is chunked. Therefore the body is read from the server's stream.
    Django also decodes PATH_INFO in place, so the handlers get the original path.
    """

    def answer(request: WSGIRequest, value: str = "") -> HttpResponseBase:
        environ = {**request.environ, "PATH_INFO": request.path_info.encode().decode("latin-1")}
        reply = handler(work.Request(environ, read_body(environ), value))
        if reply.delay:
            time.sleep(reply.delay)
        return _django.respond(request, reply, () if isinstance(reply.body, bytes) else work.pace(reply.body))

    return answer


site = _django.make_site(WSGIHandler, WSGIRequest, make_view)

app = site
