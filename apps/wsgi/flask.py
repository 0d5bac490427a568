"""The contract on Flask: its router, its request and response objects, and the shared handlers."""

import time
from typing import Any

from flask import Flask, Response, request

from apps import work


def respond(reply: work.Reply) -> Response:
    """Turns a handler's reply into a Flask response."""
    if reply.delay:
        time.sleep(reply.delay)
    body = reply.body if isinstance(reply.body, bytes) else work.pace(reply.body)
    response = Response(body, reply.status)
    response.headers.clear()
    response.headers.extend(reply.headers)
    return response


def make_view(handler: Any) -> Any:
    """Turns a handler into a Flask view."""
    return lambda value="": respond(handler(work.Request(request.environ, request.get_data(), value)))


def answer_unmatched(error: Exception) -> Response:
    """Answers a request that the router did not match, in the contract's words."""
    return respond(work.reply_unmatched(request.method, request.path))


site = Flask(__name__)
for route in work.ROUTES:
    options: dict[str, Any] = {"methods": list(route.methods), "provide_automatic_options": False}
    site.add_url_rule(route.rule, route.rule, make_view(route.handler), **options)
site.register_error_handler(404, answer_unmatched)
site.register_error_handler(405, answer_unmatched)

app = site
