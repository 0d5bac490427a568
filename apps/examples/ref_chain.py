"""In which order does a request pass a chain of WSGI middlewares, and what does the one do that interrupts it?

Prints each step. `gunicorn apps.examples.ref_chain:app`
"""

from collections.abc import Iterable
from typing import Any

from apps.examples import ref


def say(step: str) -> None:
    """One step, at once."""
    print(f"chain: {step}", flush=True)


class Link:
    """A middleware that only says when a request enters and leaves."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Around the rest of the chain."""
        say(f"{self.name} in")
        reply = self.app(environ, start_response)
        say(f"{self.name} out")
        return reply


class Guard(Link):
    """A middleware that answers 401 by itself where there is no `Authorization`: nothing behind it is called."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Passes the request on, or answers it."""
        if "HTTP_AUTHORIZATION" in environ:
            return super().__call__(environ, start_response)
        say(f"{self.name} refuses")
        start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Basic")])
        return [b"who are you?"]


def innermost(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The application of the chain: `ref`, announced."""
    say("app")
    return ref.app(environ, start_response)


app = Link(Guard(Link(innermost, "third"), "second"), "first")
