"""In which order does a request pass a chain of WSGI middlewares, and what does an interrupting middleware do?

Prints each step. `gunicorn apps.examples.ref_chain:app`
"""

from collections.abc import Iterable
from typing import Any

from apps.examples import ref


def log(step: str) -> None:
    """Prints one step without buffering."""
    print(f"chain: {step}", flush=True)


class Link:
    """A middleware that only logs when a request enters and leaves."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Calls the rest of the chain."""
        log(f"{self.name} in")
        reply = self.app(environ, start_response)
        log(f"{self.name} out")
        return reply


class Guard(Link):
    """A middleware that answers a request without `Authorization` itself, with 401. Then it calls no other part."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Passes the request on, or answers 401."""
        if "HTTP_AUTHORIZATION" in environ:
            return super().__call__(environ, start_response)
        log(f"{self.name} refuses")
        start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic")])
        return [b"who are you?"]


def innermost(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The application of the chain: `ref`, with a line in the log."""
    log("app")
    return ref.app(environ, start_response)


app = Link(Guard(Link(innermost, "third"), "second"), "first")
