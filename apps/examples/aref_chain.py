"""In which order does a request pass a chain of ASGI middlewares, and what does an interrupting middleware do?

Prints each step. `python3 -m uvicorn apps.examples.aref_chain:app`
"""

from typing import Any

from apps.examples import aref


def log(step: str) -> None:
    """Prints one step without buffering."""
    print(f"chain: {step}", flush=True)


class Link:
    """A middleware that only logs when a request enters and leaves."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Calls the rest of the chain."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        log(f"{self.name} in")
        await self.app(scope, receive, send)
        log(f"{self.name} out")


class Guard(Link):
    """A middleware that answers a request without `Authorization` itself, with 401. Then it calls no other part."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on, or answers 401."""
        if scope["type"] != "http" or any(name == b"authorization" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
            return
        log(f"{self.name} refuses")
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Basic")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"who are you?"})


async def innermost(scope: Any, receive: Any, send: Any) -> None:
    """The application of the chain: `aref`, with a line in the log."""
    if scope["type"] == "http":
        log("app")
    await aref.app(scope, receive, send)


app = Link(Guard(Link(innermost, "third"), "second"), "first")
