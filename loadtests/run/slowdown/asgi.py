"""The bare application with a planted slowdown: each request wastes SLOWDOWN µs of CPU time, for the bench to find.

`make bench SLOWDOWN=granian/asgi:8` serves it in place of granian's application.
"""

import os
from time import perf_counter_ns
from typing import Any

from apps.asgi import bare

EXTRA_NANOSECONDS = int(os.environ["SLOWDOWN"]) * 1000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Wastes its time, then answers."""
    until = perf_counter_ns() + EXTRA_NANOSECONDS
    while perf_counter_ns() < until:
        pass
    await bare.app(scope, receive, send)
