"""The bare application, dearer by DEARER µs of CPU a request: must be found (`make bench DEARER=granian/wsgi:8`)."""

import os
from collections.abc import Iterable
from time import perf_counter_ns
from typing import Any

from apps.wsgi import bare

EXTRA = int(os.environ["DEARER"]) * 1000


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Wastes its time, then answers."""
    until = perf_counter_ns() + EXTRA
    while perf_counter_ns() < until:
        pass
    return bare.app(environ, start_response)
