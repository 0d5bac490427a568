"""What a server hands to a WSGI application, with no gateway around it: each key, its type and its value."""

import json
import os
from collections.abc import Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers with the environ; what is in it because it is in the process's environment is counted only."""
    inherited = {key for key, value in environ.items() if os.environ.get(key) == value and key != "SERVER_SOFTWARE"}
    seen = {key: [type(value).__name__, repr(value)] for key, value in environ.items() if key not in inherited}
    if inherited:
        seen["(variables of the process's environment)"] = ["str", str(len(inherited))]
    body = json.dumps(seen).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
