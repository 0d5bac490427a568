"""Measures windows in the generator's container: reads an order from each line of stdin, and prints an observation.

The agent stays up for the whole run, so that no window pays for starting Python. A fixed rate is Locust's work
(locust_run.py), a ceiling that of wrk, h2load or curl (ceiling_tools.py), or of Locust where none of them can do it.

Locust's users and wrk compare the status and every byte of each answer. Of a reply of more than 16 kB, wrk compares the
status, and the sum of all bytes with that of as many right answers. h2load and curl do so for every reply. Before each
window of these three tools, one answer is compared byte by byte over HTTP/1.1. Locust's users and curl verify
certificates; wrk and h2load do not.
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
