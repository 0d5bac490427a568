"""What Django needs on both interfaces: settings of an application without a database, and the routes.

Only `view`, which turns a handler into a Django view, differs between `apps/wsgi/django.py` and `apps/asgi/django.py`.
"""

from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.urls import URLPattern, path, re_path

from apps import work

if not settings.configured:
    settings.configure(
        ROOT_URLCONF="",  # each interface's requests bring their own
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,  # default 2.5 MB, then 400: the proxies bound the size
    )
    django.setup()

Handler = Callable[[work.Request], work.Reply]


def guarded(route: work.Route) -> Handler:
    """A route's handler, for the methods that it has: Django's router knows paths only."""

    def answer(request: work.Request) -> work.Reply:
        method = request.native.get("REQUEST_METHOD") or request.native.get("method")
        return route.handler(request) if method in route.answers else work.not_allowed(route)

    return answer


def urls(view: Callable[[Handler], Any]) -> tuple[URLPattern, ...]:
    """Every route, and the last one for what no other matched."""
    known = (path(one.path[1:].replace("{", "<").replace("}", ">"), view(guarded(one))) for one in work.ROUTES)
    return (*known, re_path("", view(lambda _: work.not_found())))


def respond(request: HttpRequest, reply: work.Reply, pieces: Any) -> HttpResponseBase:
    """A handler's reply as a Django response; `pieces` is its body where it is streamed."""
    response: HttpResponseBase
    if isinstance(reply.body, bytes):
        response = HttpResponse(b"" if request.method == "HEAD" else reply.body, status=reply.status)
    else:
        response = StreamingHttpResponse(pieces, status=reply.status)
    response.headers = ResponseHeaders(dict(reply.headers))
    return response
