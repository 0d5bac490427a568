"""An ASGI application that logs what reaches it. A WSGI server runs it through a2wsgi.

`/pieces` reads a body as it comes. `/leave` streams for three seconds, or until the server reports that the client has
left. All other paths are those of the stack's plain application.
"""

import asyncio
import os
from typing import Any

from a2wsgi import ASGIMiddleware

from apps.asgi.bare import plain

PIECES = 60


async def leave(receive: Any, send: Any) -> None:
    """Sends a piece every 50 ms until the last piece, or until the client leaves; logs how many it sent."""

    async def wait_for_disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    waiting, sent = asyncio.ensure_future(wait_for_disconnect()), 0
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    try:
        while sent < PIECES and not waiting.done():
            await send({"type": "http.response.body", "body": b"piece\n", "more_body": True})
            sent += 1
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})
    finally:
        waiting.cancel()
        print(f"THROUGH left {sent}", flush=True)


async def pieces(receive: Any, send: Any) -> None:
    """Reads a body, and logs the size of its first piece."""
    event = await receive()
    total = len(event["body"])
    print(f"THROUGH got {total}", flush=True)
    while event["more_body"]:
        event = await receive()
        total += len(event["body"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(total).encode()})


async def native(scope: Any, receive: Any, send: Any) -> None:
    """Answers a request by its path."""
    if scope["type"] == "lifespan":
        print("THROUGH lifespan", flush=True)
    if scope["type"] == "http" and scope["path"] in ("/leave", "/pieces"):
        await (leave if scope["path"] == "/leave" else pieces)(receive, send)
        return
    await plain(scope, receive, send)


app: Any = ASGIMiddleware(native) if os.environ["INTERFACE"] == "wsgi" else native
