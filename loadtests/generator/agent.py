"""Measures windows in the generator's container: reads an order from each line of stdin, and prints an observation.

The agent stays up for the whole run, so that no window pays for starting Python. Locust measures at a fixed rate
(locust_run.py). At the ceiling wrk, h2load or curl measures (ceiling_tools.py), or Locust where none of these can.

Before each window of wrk, h2load or curl, one answer is compared byte by byte over HTTP/1.1. During the window:

- Locust's users, and wrk for replies up to 16 kB, compare the status and every byte of each answer.
- wrk for larger replies counts each status above 399 as an error, and compares the number of bytes of all answers.
- h2load compares each status, and the number of bytes of all answers.
- curl compares each status, and the number of bytes of each answer.

Locust's users and curl verify certificates; wrk and h2load do not.
"""

import gevent.monkey

gevent.monkey.patch_all()  # Locust does it too, but the modules below must be imported patched

import importlib  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from loadtests.generator import ceiling_tools  # noqa: E402
from loadtests.generator.lean_user import LeanUser  # noqa: E402
from loadtests.generator.locust_run import run_locust  # noqa: E402
from loadtests.generator.orders import Observation, Order, read_order, write_line  # noqa: E402
from loadtests.scenarios import scenarios  # noqa: E402


def load_user(order: Order) -> Any:
    """The user class that an order names: the variant, or the only one that the scenario's file defines."""
    module = importlib.import_module(f"loadtests.scenarios.{order.scenario}")
    user = getattr(module, order.variant or next(iter(scenarios()[order.scenario].users)))
    user.host = order.url
    return user


def measure(order: Order) -> Observation:
    """Measures the window of an order."""
    user = load_user(order)
    if order.mode == "rate" or order.tool == "locust":
        return run_locust(user, order)
    return ceiling_tools.run_tool(user, order)


def main() -> None:
    """Answers each order; an error is an answer too."""
    logging.getLogger("locust").setLevel(logging.ERROR)  # it warns of so many users at once
    for line in sys.stdin:
        LeanUser.close_held()
        try:
            observation = measure(read_order(line))
        except Exception as error:
            observation = Observation(failed=f"{type(error).__name__}: {error}")
        print(write_line(observation), end="", flush=True)


if __name__ == "__main__":
    main()
