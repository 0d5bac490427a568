"""The bare application with a planted slowdown: each request wastes SLOWDOWN µs of CPU time, for the bench to find.

`make bench SLOWDOWN=granian/wsgi:8` serves it in place of granian's application.
"""

import os
from collections.abc import Iterable
from time import perf_counter_ns
from typing import Any

from apps.wsgi import bare

EXTRA_NANOSECONDS = int(os.environ["SLOWDOWN"]) * 1000


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Wastes its time, then answers."""
    until = perf_counter_ns() + EXTRA_NANOSECONDS
    while perf_counter_ns() < until:
        pass
    return bare.app(environ, start_response)
