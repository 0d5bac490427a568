"""Measures the windows of one start of a server: what the generators saw, what it cost, and why it may not count."""

import datetime
from collections.abc import Iterator
from dataclasses import replace

from loadtests.analysis.validity import find_invalidities
from loadtests.generator.orders import Order
from loadtests.run.counters import Counters
from loadtests.run.plan import Plan
from loadtests.run.testbed import GENERATOR, Testbed
from loadtests.scenarios import scenarios
from loadtests.window import DIRECT, NO_SERVER, Cell, Invalidity, Window

WARM_UP_SECONDS = 0.25


def measure_windows(testbed: Testbed, cells: list[Cell], plan: Plan) -> Iterator[Window]:
    """Measures a window of each cell, after a warm-up of every route.

    The counters are read between two windows: one reading ends the first window and begins the second.
    """
    if not cells:
        return
    for route in dict.fromkeys(cell.route for cell in cells):
        first_cell = next(cell for cell in cells if cell.route == route)
        testbed.measure(replace(make_order(testbed, first_cell, plan), seconds=WARM_UP_SECONDS))
    routes = {cell.route for cell in cells} - {DIRECT}
    containers = {route: testbed.route_containers[route] for route in routes}
    containers[GENERATOR] = testbed.container(GENERATOR)
    if any(cell.server != NO_SERVER for cell in cells):
        containers["app"] = testbed.app
    first = before = Counters(containers, testbed)
    for cell in cells:
        window = observe(testbed, cell, plan)
        after = Counters(containers, testbed)
        yield finalize(testbed, window, before, after, first)
        before = after


def make_order(testbed: Testbed, cell: Cell, plan: Plan) -> Order:
    """What the generators must do in a window of a cell."""
    user = scenarios()[cell.scenario].user(cell.variant)
    return Order(
        scenario=cell.scenario,
        variant=cell.variant,
        url=testbed.url(cell.route, own_answer=cell.server == NO_SERVER and cell.scenario != "static"),
        mode=cell.mode,
        clients=user["clients"],
        seconds=user["seconds"],
        rate=plan.rate or user["offered"],
        tool=user["tool"],
        http=cell.http,
    )


def observe(testbed: Testbed, cell: Cell, plan: Plan) -> Window:
    """Measures a window; what the generators saw in it, and their CPU time."""
    started = datetime.datetime.now(datetime.UTC)
    order = make_order(testbed, cell, plan)
    observation, probe_time = testbed.measure(order)
    if observation.failed:
        return failed_window(cell, "generator failed", observation.failed)
    return Window(
        cell,
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        seconds=observation.seconds,
        clients=observation.clients or order.clients,
        offered=float(order.rate) if cell.mode == "rate" else None,
        requests=observation.requests,
        errors=observation.errors,
        latency=observation.latency,
        times=observation.times,
        corrected=observation.corrected,
        cpu={"generator": round(observation.cpu, 6)},
        probe_time=probe_time,
    )


def finalize(testbed: Testbed, window: Window, before: Counters, after: Counters, first: Counters) -> Window:
    """Adds to a window its cost, and every reason not to count it. `first` is the reading before the first window."""
    if window.invalid:  # nothing was measured
        return window
    parts = {} if window.cell.server == NO_SERVER else {"app": "app"}
    parts |= {} if window.cell.route == DIRECT else {"proxy": window.cell.route}
    window.cpu |= {part: round(after.cpu(name) - before.cpu(name), 6) for part, name in parts.items()}
    window.cpu["engine"] = round(after.engine - before.engine, 2)
    window.memory = {part: after.memory(name) for part, name in parts.items()}
    window.memory_warm = {part: first.memory(name) for part, name in parts.items()}
    window.memory_peak = {part: after.memory_peak(name) for part, name in parts.items()}
    window.others = find_others_share(testbed, before, after)
    busy = after.generator_cores - before.generator_cores
    window.saturation = round(min(1.0, busy / len(testbed.generator_cores) / window.seconds), 3)
    restarts = sum(testbed.has_ended(name) for name in parts.values())
    throttled = sum(after.throttled(name) - before.throttled(name) for name in parts.values())
    window.invalid = find_invalidities(window, restarts, throttled)
    return window


def find_others_share(testbed: Testbed, before: Counters, after: Counters) -> float:
    """The share of the stack's or the generators' cores that was taken by others: by the hypervisor and by processes.

    It is the share of whichever has fewer cores, as if all others ran there.
    """
    own = sum(after.cpu(name) - before.cpu(name) for name in before.stats) + after.bench - before.bench
    others = after.processes - before.processes - own + after.stolen - before.stolen
    cores = min(len(testbed.stack_cores), len(testbed.generator_cores))
    return round(max(0.0, others / (after.at - before.at) / cores), 3)


def failed_window(cell: Cell, rule: str, reason: str) -> Window:
    """A window in which nothing was measured."""
    return Window(cell, invalid=[Invalidity(rule, reason)])
