"""The bare application with a pool of three connections: opened at lifespan start-up, closed at shutdown; it says when.

Where the server sends no lifespan, the first request has to open it.
"""

import asyncio
import atexit
import os
import sqlite3
from typing import Any

from apps.asgi import bare

SIZE = 3
pool: list[sqlite3.Connection] = []


def say(what: str) -> None:
    """One line on standard error, whole, whoever else is writing."""
    os.write(2, f"life: {what} {os.getpid()}\n".encode())


def fill() -> None:
    """Opens the pool."""
    say("open")
    pool.extend(sqlite3.connect("/tmp/pool.sqlite", check_same_thread=False) for _ in range(SIZE))


def drain() -> None:
    """Closes the pool."""
    say("close")
    while pool:
        pool.pop().close()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Passes everything but the lifespan on."""
    if scope["type"] != "lifespan":
        if not pool:
            fill()
        await bare.app(scope, receive, send)
        return
    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            await asyncio.sleep(os.getpid() % 3 * 2)  # to close takes a while, and not as long in every worker
        say(event)
        fill() if event == "lifespan.startup" else drain()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


say("import")
atexit.register(say, "exit")
