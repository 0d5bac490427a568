"""Answers with the `environ` that a server hands over, without a gateway: each key, its type and its value."""

import json
import os
from collections.abc import Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers with the environ. Variables of the process's own environment are only counted."""
    inherited = {key for key, value in environ.items() if os.environ.get(key) == value and key != "SERVER_SOFTWARE"}
    values = {key: [type(value).__name__, repr(value)] for key, value in environ.items() if key not in inherited}
    if inherited:
        values["(variables of the process's environment)"] = ["str", str(len(inherited))]
    body = json.dumps(values).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
