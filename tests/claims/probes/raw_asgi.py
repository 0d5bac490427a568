"""What a server hands to an ASGI application, with no gateway around it: each key, its type and its value."""

import json
from typing import Any


def shape(value: Any) -> str:
    """A type, and of what it is made."""
    if isinstance(value, list | tuple):
        inside = dict.fromkeys(shape(one) for one in value)
        return f"{type(value).__name__} of {', '.join(inside) or 'nothing'}"
    return type(value).__name__


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the scope."""
    if scope["type"] != "http":
        return
    seen = {key: [shape(value), repr(value)] for key, value in scope.items()}
    body = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
