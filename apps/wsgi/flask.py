"""The contract on Flask: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from flask import Flask, Response, request

from apps import gateway, work


def respond(reply: work.Reply) -> Response:
    """A handler's reply as a Flask response."""
    if reply.delay:
        time.sleep(reply.delay)
    body = reply.body if isinstance(reply.body, bytes) else work.chunks(reply.body)
    response = Response(body, reply.status)
    response.headers.clear()
    response.headers.extend(reply.headers)
    return response


def view(handler: Any) -> Any:
    """A handler as a Flask view."""
    return lambda value="": respond(handler(work.Request(request.environ, request.get_data(), value)))


def unmatched(error: Exception) -> Response:
    """What the router did not find, in the contract's words."""
    found = work.match(request.method, request.path)
    return respond(found if isinstance(found, work.Reply) else work.not_found())


site = Flask(__name__)
for route in work.ROUTES:
    path = route.path.replace("{", "<").replace("}", ">")
    methods = list(route.methods)
    site.add_url_rule(path, path, view(route.handler), methods=methods, provide_automatic_options=False)
site.register_error_handler(404, unmatched)
site.register_error_handler(405, unmatched)

app = gateway.Wsgi(site)
