"""One window by Locust, used as a library: a scenario's users at a fixed rate, or in a closed loop."""

from array import array
from collections import Counter
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment

from loadtests.generator.figures import compute_percentiles, read_cpu_seconds
from loadtests.generator.lean_user import PATIENCE, LeanUser
from loadtests.generator.orders import Observation, Order


def run_locust(user: Any, order: Order) -> Observation:
    """Runs an order's clients as users; the ceiling is a closed loop, in which each asks again at once.

    The window begins when all users are connected. Other users than the lean one have no end, so they are stopped.
    """
    rate = order.rate if order.mode == "rate" else 0.0
    is_lean, times = issubclass(user, LeanUser), array("d")
    prepare_user(user, order.clients, rate, times)
    environment = Environment(user_classes=[user])
    environment.events.request.add_listener(lambda response_time, **_: times.append(response_time / 1000))
    runner = environment.create_local_runner()
    spawned = perf_counter()
    runner.start(order.clients, spawn_rate=order.clients, wait=True)
    while is_lean and LeanUser.started < order.clients and perf_counter() < spawned + PATIENCE:
        gevent.sleep(0.001)
    cpu_before, begin = read_cpu_seconds(), perf_counter() if is_lean else spawned
    user.begin, user.end = begin, begin + order.seconds
    user.go.set()
    gevent.sleep(user.end - perf_counter())
    while is_lean and runner.user_count and perf_counter() < user.end + 2 * PATIENCE:
        gevent.sleep(0.01)
    end, cpu = perf_counter(), read_cpu_seconds() - cpu_before
    runner.quit()
    total = environment.stats.total
    return Observation(
        seconds=order.seconds if rate else end - begin,  # at a rate, an answer after the end was due before it
        requests=(total.num_requests - total.num_failures) * getattr(user, "messages", 1),
        errors=count_errors(environment),
        latency=compute_percentiles(times),
        times=dict(Counter(f"{time * 1000:.3g}" for time in times)) if rate else {},
        cpu=cpu,
    )


def prepare_user(user: Any, clients: int, rate: float, times: "array[float]") -> None:
    """Sets what all users of the window share: their schedule, and where they put their times."""
    user.rate, user.turns, user.go = rate / clients, clients, Event()
    user.begin, user.end, user.times, LeanUser.started = 0.0, float("inf"), times, 0


def count_errors(environment: Environment) -> dict[str, int]:
    """Locust's errors by their text."""
    errors: Counter[str] = Counter()
    for entry in environment.stats.errors.values():
        errors[f"{entry.error}"] += entry.occurrences
    return dict(errors)
