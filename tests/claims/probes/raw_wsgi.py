"""What a server hands to a WSGI application, with no gateway around it: each key, its type and its value."""

import json
from collections.abc import Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers with the environ."""
    seen = {str(key): [type(value).__name__, repr(value)] for key, value in environ.items()}
    body = json.dumps(seen).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
