"""Answers with the `scope` that a server hands over, without a gateway: each key, its type and its value."""

import json
from typing import Any


def describe_type(value: Any) -> str:
    """The name of a type; for a list or tuple, also the types of its items."""
    if isinstance(value, list | tuple):
        inside = dict.fromkeys(describe_type(item) for item in value)
        return f"{type(value).__name__} of {', '.join(inside) or 'nothing'}"
    return type(value).__name__


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the scope."""
    if scope["type"] != "http":
        return
    values = {key: [describe_type(value), repr(value)] for key, value in scope.items()}
    body = json.dumps(values).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
