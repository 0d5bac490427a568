"""The bare application with a pool of three SQLite connections, which logs each event of its life.

It opens the pool at lifespan start-up and closes it at shutdown. Without a lifespan the first request opens the pool.
"""

import asyncio
import atexit
import os
import sqlite3
from typing import Any

from apps.asgi import bare

SIZE = 3
pool: list[sqlite3.Connection] = []


def log(event: str) -> None:
    """Writes one line to standard error in one piece, because other processes write there too."""
    os.write(2, f"life: {event} {os.getpid()}\n".encode())


def open_pool() -> None:
    """Opens the pool."""
    log("open")
    pool.extend(sqlite3.connect("/tmp/pool.sqlite", check_same_thread=False) for _ in range(SIZE))


def close_pool() -> None:
    """Closes the pool."""
    log("close")
    while pool:
        pool.pop().close()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Handles the lifespan, and passes all other scopes on."""
    if scope["type"] != "lifespan":
        if not pool:
            open_pool()
        await bare.app(scope, receive, send)
        return
    while True:
        event = (await receive())["type"]
        if event == "lifespan.shutdown":
            await asyncio.sleep(os.getpid() % 3 * 2)  # 0 to 4 s: another time to close in each worker
        log(event)
        open_pool() if event == "lifespan.startup" else close_pool()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


log("import")
atexit.register(log, "exit")
