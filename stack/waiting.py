"""The one function for waiting: it asks until the answer is true, or until the time is up."""

import time
from collections.abc import Callable
from typing import Any

PAUSE = 0.1  # seconds between two questions


def wait_until(condition: Callable[..., Any], seconds: float = 10, pause: float = PAUSE) -> Any:
    """Returns the first true value of `condition()`, or the last, false value once `seconds` have passed.

    `pause` is the time in seconds between two calls. An exception of `condition` ends the wait.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause)
    return value
