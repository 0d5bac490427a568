"""The contract on Bottle: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from bottle import Bottle, HTTPResponse, request

from apps import gateway, work
from apps.wsgi.bare import body_of


def respond(reply: work.Reply) -> HTTPResponse:
    """A handler's reply as a Bottle response."""
    if reply.delay:
        time.sleep(reply.delay)
    body = reply.body if isinstance(reply.body, bytes) else work.chunks(reply.body)
    return HTTPResponse(body, reply.status, reply.headers)


def view(handler: Any) -> Any:
    """A handler as a Bottle callback.

    (!) `request.body` decodes a chunked body that the server has decoded already, and answers 400: the body comes
    from the server's own stream. Bottle also decodes PATH_INFO in place; the handlers get it as the server sent it.
    """

    def answer(value: str = "") -> HTTPResponse:
        environ = {**request.environ, "PATH_INFO": request.environ["bottle.raw_path"]}
        return respond(handler(work.Request(environ, body_of(environ), value)))

    return answer


def unmatched(error: Any) -> HTTPResponse:
    """What the router did not find, in the contract's words."""
    found = work.match(request.method, request.path)
    return respond(found if isinstance(found, work.Reply) else work.not_found())


def whole_path() -> None:
    """(!) Bottle drops from a path what is not UTF-8: /%c0%afadmin is /admin to it, and to no proxy that guards /admin.

    Checked by: test_no_spelling_of_the_path_reaches_the_admin_area
    """
    try:
        request.environ["bottle.raw_path"].encode("latin-1").decode()
    except UnicodeDecodeError:
        raise respond(work.not_found()) from None


site = Bottle()
site.add_hook("before_request", whole_path)
for route in work.ROUTES:
    site.route(route.path.replace("{", "<").replace("}", ">"), list(route.methods), view(route.handler))
site.error(404)(unmatched)
site.error(405)(unmatched)

app = gateway.Wsgi(site)
