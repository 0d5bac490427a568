"""In which order does a request pass a chain of ASGI middlewares, and what does the one do that interrupts it?

Prints each step. `python3 -m uvicorn apps.examples.aref_chain:app`
"""

from typing import Any

from apps.examples import aref


def say(step: str) -> None:
    """One step, at once."""
    print(f"chain: {step}", flush=True)


class Link:
    """A middleware that only says when a request enters and leaves."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Around the rest of the chain."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        say(f"{self.name} in")
        await self.app(scope, receive, send)
        say(f"{self.name} out")


class Guard(Link):
    """A middleware that answers 401 by itself where there is no `Authorization`: nothing behind it is called."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on, or answers it."""
        if scope["type"] != "http" or any(name == b"authorization" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
            return
        say(f"{self.name} refuses")
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Basic")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"who are you?"})


async def innermost(scope: Any, receive: Any, send: Any) -> None:
    """The application of the chain: `aref`, announced."""
    if scope["type"] == "http":
        say("app")
    await aref.app(scope, receive, send)


app = Link(Guard(Link(innermost, "third"), "second"), "first")
