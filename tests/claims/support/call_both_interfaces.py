"""Which interfaces does a framework's own application object answer on? Every object is called on both.

Runs inside the app's container, with the releases of the image. Prints JSON by framework and interface: "" where an
object of the framework answered GET / correctly, otherwise the failure of its last object. Also ASGI through a2wsgi.
"""

import asyncio
import io
import json
import logging
from importlib import import_module
from typing import Any

from a2wsgi import WSGIMiddleware

from apps.runtime import serve

HELLO = b"Hello, world!\n"


def call_wsgi(site: Any) -> bytes:
    """Calls the object as a WSGI server does for GET / (PEP 3333); the body."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return b"".join(site(environ, lambda status, headers, exc_info=None: None))


def call_asgi(site: Any) -> bytes:
    """Calls the object as an ASGI server does for GET / (ASGI 3); the body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        body_sent = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if body_sent.is_set():
                await asyncio.Event().wait()  # the client stays connected
            body_sent.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await asyncio.wait_for(site(scope, receive, send), 10)

    asyncio.run(ask())
    return b"".join(event.get("body", b"") for event in sent)


def find_failure(call: Any, site: Any) -> str:
    """How that call of the object fails; "" where the answer is correct."""
    try:
        body = call(site)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if body == HELLO else f"not the answer: {body[:60]!r}"


def main() -> None:
    """Calls every object of every framework."""
    logging.disable()
    objects: dict[str, list[Any]] = {"tornado": [import_module("apps.tornado_native").site]}
    for interface in serve.INTERFACES:
        for name in serve.apps(interface):
            if name != "bare":
                objects.setdefault(name, []).append(import_module(f"apps.{interface}.{name}").site)
    calls = {"wsgi": call_wsgi, "asgi": call_asgi, "asgi through a2wsgi": lambda site: call_asgi(WSGIMiddleware(site))}
    answers = {}
    for name, sites in sorted(objects.items()):
        failures = {interface: [find_failure(call, site) for site in sites] for interface, call in calls.items()}
        answers[name] = {interface: "" if "" in errors else errors[-1] for interface, errors in failures.items()}
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
