"""The chosen ASGI application with a lifespan, for Daphne, which sends none (ASGI lifespan protocol 2.0).

The start-up runs when Daphne's event loop starts, and requests wait for its end. A start-up that fails ends the server.
The shutdown runs when the reactor stops. https://asgi.readthedocs.io/en/latest/specs/lifespan.html
Checked by: test_every_asgi_server_runs_the_lifespan
"""

import asyncio
import os
from typing import Any

from daphne.server import twisted_loop
from twisted.internet import defer, reactor

from .asgi import app as application

SHUTDOWN_SECONDS = int(os.environ["GRACE"])


class Lifespan:
    """The application, which gets `startup` before the first request and `shutdown` after the last one."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.events.put_nowait({"type": "lifespan.startup"})
        self.started = asyncio.Event()
        self.task = twisted_loop.create_task(self.run())

    async def run(self) -> None:
        """Runs the application's lifespan. An application without one raises an exception at once, which is allowed."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await application(scope, self.events.get, self.send)
        except Exception as error:
            if self.events.empty() and not self.started.is_set():
                print(f"daphne: the application runs without a lifespan: {error!r}", flush=True)
        self.started.set()

    async def send(self, event: dict[str, Any]) -> None:
        """Notes the application's answer to an event."""
        if event["type"] == "lifespan.startup.failed":
            print(f"daphne: the application did not start: {event.get('message', '')}", flush=True)
            os._exit(3)
        self.started.set()

    def shut_down(self) -> defer.Deferred[Any]:
        """Sends `shutdown`, and fires when the application has answered, after GRACE seconds at most."""
        self.events.put_nowait({"type": "lifespan.shutdown"})
        return defer.Deferred.fromFuture(twisted_loop.create_task(self.wait_for_end()))

    async def wait_for_end(self) -> None:
        """Waits for the end of the application's lifespan."""
        await asyncio.wait([self.task], timeout=SHUTDOWN_SECONDS)


lifespan = Lifespan()
reactor.addSystemEventTrigger("before", "shutdown", lifespan.shut_down)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers a request when the start-up is over."""
    if not lifespan.started.is_set():
        await lifespan.started.wait()
    await application({**scope, "state": lifespan.state.copy()}, receive, send)
