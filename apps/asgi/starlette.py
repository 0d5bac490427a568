"""The contract on Starlette: its router, its request and response objects, and the shared handlers."""

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from apps import work
from apps._starlette import answer_unmatched, echo, make_endpoint

site = Starlette(
    routes=[
        *(Route(route.path, make_endpoint(route.handler), methods=list(route.methods)) for route in work.ROUTES),
        WebSocketRoute(work.WEBSOCKET_PATH, echo),
    ],
    exception_handlers={404: answer_unmatched, 405: answer_unmatched},
)
site.router.redirect_slashes = False

app = site
