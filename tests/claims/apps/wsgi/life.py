"""The bare application with a pool of three connections: opened at import, closed at the process's exit; it says when.

WSGI knows no start and no end: this is what is left to an application.
"""

import atexit
import os
import sqlite3

from apps.wsgi import bare

SIZE = 3


def say(what: str) -> None:
    """One line on standard error, whole, whoever else is writing."""
    os.write(2, f"life: {what} {os.getpid()}\n".encode())


def drain() -> None:
    """Closes the pool."""
    say("exit")
    say("close")
    while pool:
        pool.pop().close()


say("import")
say("open")
pool = [sqlite3.connect("/tmp/pool.sqlite", check_same_thread=False) for _ in range(SIZE)]
atexit.register(drain)
app = bare.app
