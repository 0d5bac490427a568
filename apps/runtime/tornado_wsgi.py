"""Starts Tornado's own HTTP server: WORKERS processes with the chosen WSGI application, and THREADS threads in each.

Tornado has no command line. This file follows Tornado's documentation, and adds a graceful stop, which Tornado does not
have. `apps/tornado_native.py` uses this file too.
https://www.tornadoweb.org/en/stable/wsgi.html
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.wsgi import WSGIContainer

NO_BODY = HTTPHeaders({"Content-Length": "0"})

in_flight: set[HTTPServerRequest] = set()


async def wait_until_sent(request: HTTPServerRequest) -> None:
    """Removes a request from `in_flight` when its reply has left the process."""
    stream = request.connection.stream  # type: ignore[union-attr]
    while stream.writing() and not stream.closed():
        await asyncio.sleep(0.01)
    in_flight.discard(request)


class Container(WSGIContainer):
    """Tornado's container, which also counts the requests in flight."""

    async def handle_request(self, request: HTTPServerRequest) -> None:
        """Answers one request in a thread. (!) Tornado collects the whole reply before it sends the first byte.

        By default Tornado sends nothing where the application raises an error, and the client waits. Here it gets 500.
        """
        in_flight.add(request)
        try:
            await super().handle_request(request)
        except Exception:
            logging.getLogger("tornado.application").exception("%s %s", request.method, request.path)
            connection: Any = request.connection
            connection.write_headers(ResponseStartLine("HTTP/1.1", 500, "Internal Server Error"), NO_BODY)
            connection.finish()
        finally:
            await wait_until_sent(request)


def make_container() -> Container:
    """The chosen WSGI application in its container. Each worker imports the application for itself."""
    from .wsgi import app

    return Container(app, ThreadPoolExecutor(int(os.environ["THREADS"])))


async def run_worker(application: Any, sockets: Any) -> None:
    """Serves until SIGTERM, and then finishes the requests in flight, for GRACE seconds at most."""
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
        os._exit(0)  # a normal exit would wait for the threads


def serve(make_application: Callable[[], Any]) -> None:
    """Forks the workers, which share one listening socket, and passes SIGTERM on to them."""
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # the proxies write the access log
    parent = os.getpid()

    def stop(*_: Any) -> None:
        if os.getpid() != parent:
            raise SystemExit(0)  # a worker that has not started to serve
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    sockets = bind_sockets(8000, "0.0.0.0")
    fork_processes(int(os.environ["WORKERS"]))  # the parent stays in this call, and restarts killed workers
    asyncio.run(run_worker(make_application(), sockets))


if __name__ == "__main__":
    serve(make_container)
