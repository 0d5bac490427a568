"""Tornado's own HTTP server: WORKERS processes around the chosen WSGI application, with THREADS threads each.

Tornado is no WSGI or ASGI server by trade, and has no command line: this is what its documentation says to write, and
a stop that lets requests finish, which it leaves to its users. `apps/tornado_native.py` runs on it, too.
https://www.tornadoweb.org/en/stable/wsgi.html
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.wsgi import WSGIContainer

in_flight: set[HTTPServerRequest] = set()


async def leave(request: HTTPServerRequest) -> None:
    """A request is over when its reply has left the process, not when it is made."""
    stream = request.connection.stream  # type: ignore[union-attr]
    while stream.writing() and not stream.closed():
        await asyncio.sleep(0.01)
    in_flight.discard(request)


class Container(WSGIContainer):
    """Tornado's container, counting what is in flight."""

    async def handle_request(self, request: HTTPServerRequest) -> None:
        """Answers one request in a thread. (!) Tornado collects the whole reply before it sends any of it."""
        in_flight.add(request)
        try:
            await super().handle_request(request)
        finally:
            await leave(request)


def wsgi() -> Container:
    """The chosen WSGI application, imported by each worker for itself."""
    application = import_module(f"apps.wsgi.{os.environ['APP']}").app
    return Container(application, ThreadPoolExecutor(int(os.environ["THREADS"])))


async def worker(application: Any, sockets: Any) -> None:
    """One worker: serves until SIGTERM, then finishes what it has, for GRACE seconds at most."""
    server = HTTPServer(application, idle_connection_timeout=int(os.environ["KEEPALIVE"]))
    server.add_sockets(sockets)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.stop()
    try:
        async with asyncio.timeout(int(os.environ["GRACE"])):
            while in_flight:
                await asyncio.sleep(0.05)
    except TimeoutError:
        os._exit(0)  # without waiting for the threads


def serve(make: Callable[[], Any]) -> None:
    """Forks the workers, which share one listening socket, and passes SIGTERM on to them."""
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the proxies log
    parent = os.getpid()

    def stop(*_: Any) -> None:
        if os.getpid() != parent:
            raise SystemExit(0)  # a worker that had not begun
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    sockets = bind_sockets(8000, "0.0.0.0")
    fork_processes(int(os.environ["WORKERS"]))  # the parent stays in here, and restarts a worker that was killed
    asyncio.run(worker(make(), sockets))


if __name__ == "__main__":
    serve(wsgi)
