"""The bare application, dearer by DEARER µs of CPU a request: must be found (`make bench DEARER=granian/asgi:8`)."""

import os
from time import perf_counter_ns
from typing import Any

from apps.asgi import bare

EXTRA = int(os.environ["DEARER"]) * 1000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Wastes its time, then answers."""
    until = perf_counter_ns() + EXTRA
    while perf_counter_ns() < until:
        pass
    await bare.app(scope, receive, send)
