"""The part that Django's two applications share: the settings of a site without a database, the routes, the responses.

`apps/wsgi/django.py` and `apps/asgi/django.py` add `make_view`, which turns a handler into a Django view.
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
        ROOT_URLCONF="",  # the request class of each interface names the routes: see make_site
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,  # default: 2.5 MB, then 400. Here the proxies limit the size.
    )
    django.setup()

Handler = Callable[[work.Request], work.Reply]


def check_method(route: work.Route) -> Handler:
    """The route's handler, which answers 405 to other methods. Django's router compares paths only."""

    def answer(request: work.Request) -> work.Reply:
        method = request.native.get("REQUEST_METHOD") or request.native.get("method")
        return route.handler(request) if method in route.answers else work.reply_not_allowed(route)

    return answer


def list_urls(make_view: Callable[[Handler], Any]) -> tuple[URLPattern, ...]:
    """Every route, and a last pattern that matches every other path."""
    routes = (path(route.rule[1:], make_view(check_method(route))) for route in work.ROUTES)
    return (*routes, re_path("", make_view(lambda _: work.reply_not_found())))


def make_site(handler_class: type, request_class: type, make_view: Callable[[Handler], Any]) -> Any:
    """A Django site without middleware.

    Both interfaces share the settings, so the settings name no routes. The request class names them instead.
    """
    request = type("Request", (request_class,), {"urlconf": list_urls(make_view)})
    return type("Site", (handler_class,), {"request_class": request})()


def respond(request: HttpRequest, reply: work.Reply, pieces: Any) -> HttpResponseBase:
    """Turns a handler's reply into a Django response; `pieces` is the body of a streamed reply."""
    response: HttpResponseBase
    if isinstance(reply.body, bytes):
        response = HttpResponse(b"" if request.method == "HEAD" else reply.body, status=reply.status)
    else:
        response = StreamingHttpResponse(pieces, status=reply.status)
    response.headers = ResponseHeaders(dict(reply.headers))
    return response
