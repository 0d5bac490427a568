"""An ASGI application that announces five bytes and, on `/short`, sends three."""

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Sends five bytes, but three on `/short`."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"abc" if scope["path"] == "/short" else b"abcde"})
