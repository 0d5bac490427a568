"""The bare application with a pool of three SQLite connections, which logs each event of its life.

WSGI has no event for start and end. So the application opens its pool at import, and closes it at the process's exit.
"""

import atexit
import os
import sqlite3

from apps.wsgi import bare

SIZE = 3


def log(event: str) -> None:
    """Writes one line to standard error in one piece, because other processes write there too."""
    os.write(2, f"life: {event} {os.getpid()}\n".encode())


def close_pool() -> None:
    """Closes the pool."""
    log("exit")
    log("close")
    while pool:
        pool.pop().close()


log("import")
log("open")
pool = [sqlite3.connect("/tmp/pool.sqlite", check_same_thread=False) for _ in range(SIZE)]
atexit.register(close_pool)
app = bare.app
