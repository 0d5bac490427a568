"""The contract on Bottle: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from bottle import Bottle, HTTPResponse, request

from apps import work
from apps.wsgi.bare import read_body


def respond(reply: work.Reply) -> HTTPResponse:
    """Turns a handler's reply into a Bottle response."""
    if reply.delay:
        time.sleep(reply.delay)
    body = reply.body if isinstance(reply.body, bytes) else work.pace(reply.body)
    return HTTPResponse(body, reply.status, reply.headers)


def make_view(handler: Any) -> Any:
    """Turns a handler into a Bottle callback.

    (!) `request.body` decodes a chunked body, but the server has decoded the body already, so Bottle answers 400.
    Therefore the body is read from the server's stream. Bottle also decodes PATH_INFO in place, so the handlers get the
    original path.
    """

    def answer(value: str = "") -> HTTPResponse:
        environ = {**request.environ, "PATH_INFO": request.environ["bottle.raw_path"]}
        return respond(handler(work.Request(environ, read_body(environ), value)))

    return answer


def answer_unmatched(error: Any) -> HTTPResponse:
    """Answers a request that the router did not match, in the contract's words."""
    return respond(work.reply_unmatched(request.method, request.path))


def refuse_invalid_path() -> None:
    """(!) Bottle drops the bytes of a path that are not UTF-8.

    Bottle reads /%c0%afadmin as /admin, and the proxies do not. So such a path would pass the proxies' guard.

    Checked by: test_no_spelling_of_the_path_reaches_the_admin_area
    """
    try:
        request.environ["bottle.raw_path"].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise respond(work.reply_not_found()) from None


site = Bottle()
site.add_hook("before_request", refuse_invalid_path)
for route in work.ROUTES:
    site.route(route.rule, list(route.methods), make_view(route.handler))
site.error(404)(answer_unmatched)
site.error(405)(answer_unmatched)

app = site
