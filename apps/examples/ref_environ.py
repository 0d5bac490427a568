"""What does a WSGI server hand to an application? The talk's example prints the keys with HTTP and wsgi in front."""

import os
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import make_server


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answers as `ref` does, and prints the `environ` keys that begin with HTTP or wsgi."""
    for key, value in sorted(environ.items()):
        if key.startswith(("HTTP", "wsgi")):
            print(f"{key}: {value!r}", flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello world!"]


if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
