"""The contract on Tornado itself: its router and request handlers, which run on Tornado's own server only.

The handlers are neither a WSGI nor an ASGI application, so `APP=` cannot name them. `python3 -m apps.tornado_native`
starts them.
Checked by: test_tornados_own_handlers_answer_on_tornados_own_server
"""

import asyncio
from typing import Any

from tornado.escape import url_unescape
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from apps import work
from apps.runtime import gateway, tornado_wsgi


def make_scope(request: HTTPServerRequest) -> dict[str, Any]:
    """A request in the form of an ASGI scope, which the shared handlers can read."""
    return gateway.apply_forwarded_headers(
        {
            "type": "http",
            "method": request.method,
            "path": url_unescape(request.path, plus=False),
            "query_string": request.query.encode("latin-1"),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in request.headers.get_all()],
            "http_version": request.version.removeprefix("HTTP/"),
            "scheme": request.protocol,
            "client": (request.remote_ip, 0),
        }
    )


class Handler(RequestHandler):
    """Answers one route. Tornado's router compares paths only, so the handler checks the method. No route: 404."""

    def initialize(self, route: work.Route | None) -> None:
        """Takes the route from the router."""
        self.route = route

    def prepare(self) -> None:
        """Counts the request as in flight."""
        tornado_wsgi.in_flight.add(self.request)

    def on_finish(self) -> None:
        """Ends the count when the reply has left the process."""
        self.leaving = asyncio.create_task(tornado_wsgi.wait_until_sent(self.request))

    def compute_etag(self) -> None:
        """Computes no ETag. By default Tornado adds an ETag, and answers 304 to a client that sends it back."""

    async def answer(self, value: str = "") -> None:
        """Sends the shared handler's reply."""
        reply = work.reply_not_found()
        if self.route:
            reply = work.reply_not_allowed(self.route)
            if self.request.method in self.route.answers:
                reply = self.route.handler(work.Request(make_scope(self.request), self.request.body, value))
        if reply.delay:
            await asyncio.sleep(reply.delay)
        self.set_status(reply.status)
        for name, content in gateway.check_headers(reply.headers, gateway.TEXT_NAMES):
            self.set_header(name, content)
        if isinstance(reply.body, bytes):
            await self.finish(reply.body or None)
            return
        async for piece in work.pace_async(reply.body):
            self.write(piece)
            await self.flush()

    get = head = post = put = patch = delete = options = answer


class Echo(WebSocketHandler):
    """Echoes every message, text as text and bytes as bytes."""

    def on_message(self, message: str | bytes) -> None:
        """Sends the message back."""
        self.write_message(message, binary=isinstance(message, bytes))


site = Application(
    [
        *((route.path.replace("{value}", "([^/]+)"), Handler, {"route": route}) for route in work.ROUTES),
        (work.WEBSOCKET_PATH, Echo),
    ],
    default_handler_class=Handler,
    default_handler_args={"route": None},
)

if __name__ == "__main__":
    tornado_wsgi.serve(lambda: site)
