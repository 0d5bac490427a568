"""The contract on FastAPI: its router, its request and response objects, and the shared handlers."""

from fastapi import FastAPI

from apps import work
from apps._starlette import answer_unmatched, echo, make_endpoint

# The contract has no /docs, /redoc and /openapi.json, so they are not published. Default: published.
site = FastAPI(
    openapi_url=None, redirect_slashes=False, exception_handlers={404: answer_unmatched, 405: answer_unmatched}
)
for route in work.ROUTES:
    # In Starlette a route for GET answers HEAD too. In FastAPI it does not, so the methods include HEAD.
    site.add_api_route(route.path, make_endpoint(route.handler), methods=list(route.answers), response_model=None)
site.add_api_websocket_route(work.WEBSOCKET_PATH, echo)

app = site
