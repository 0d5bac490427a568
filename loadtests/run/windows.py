"""The windows of one start of a server: what the generator saw, what it cost, and every reason not to count it."""

import datetime
from collections.abc import Iterator
from typing import Any

from loadtests.analysis.validity import find_invalidities
from loadtests.run.plan import Plan
from loadtests.run.testbed import Counters, Testbed
from loadtests.scenarios import scenarios
from loadtests.window import DIRECT, NO_SERVER, Cell, Invalidity, Window

LOAD = "load"  # the generator's container
WARM_UP_SECONDS = 0.25


def measure_windows(testbed: Testbed, cells: list[Cell], plan: Plan) -> Iterator[Window]:
    """Measures a window of each cell, after a warm-up of every route.

    The counters are read between two windows: one reading ends the first and begins the second.
    """
    if not cells:
        return
    for route in dict.fromkeys(cell.route for cell in cells):
        first_cell = next(cell for cell in cells if cell.route == route)
        testbed.load(**order(testbed, first_cell, plan) | {"seconds": WARM_UP_SECONDS})
    routes = {cell.route for cell in cells} - {DIRECT}
    containers = {name: testbed.proxies[name] for name in routes} | {LOAD: testbed.container(LOAD)}
    if any(cell.server != NO_SERVER for cell in cells):
        containers["app"] = testbed.app
    first = before = Counters(containers, testbed)
    for cell in cells:
        window, generator_seconds = observe(testbed, cell, plan)
        after = Counters(containers, testbed)
        yield finalize(testbed, window, generator_seconds, before, after, first)
        before = after


def order(testbed: Testbed, cell: Cell, plan: Plan) -> dict[str, Any]:
    """What the generator is told: see loadtests/generator/agent.py."""
    user = scenarios()[cell.scenario].user(cell.variant)
    return {
        "mode": cell.mode,
        "tool": user["tool"],
        "scenario": cell.scenario,
        "variant": cell.variant,
        "url": testbed.url(cell.route, cell.server == NO_SERVER and cell.scenario != "static"),
        "clients": user["clients"],
        "rate": plan.rate or user["offered"],
        "seconds": user["seconds"],
        "http": cell.http,
    }


def observe(testbed: Testbed, cell: Cell, plan: Plan) -> tuple[Window, float]:
    """What the generator saw in one window, and the CPU seconds that it took."""
    started = datetime.datetime.now(datetime.UTC)
    command = order(testbed, cell, plan)
    answer = testbed.load(**command)
    if "failed" in answer:
        return failed_window(cell, "generator failed", answer["failed"]), 0.0
    generator_seconds = answer.pop("generator")
    offered = float(command["rate"]) if cell.mode == "rate" else None
    facts = {"started": f"{started:%Y-%m-%dT%H:%M:%SZ}", "clients": command["clients"], "offered": offered}
    return Window(cell, **facts | answer), generator_seconds


def finalize(
    testbed: Testbed, window: Window, generator_seconds: float, before: Counters, after: Counters, first: Counters
) -> Window:
    """Adds to a window what it cost, and every reason not to count it. `first` is the reading before the first window."""
    if window.invalid:  # nothing was measured
        return window
    parts = {} if window.cell.server == NO_SERVER else {"app": "app"}
    parts |= {} if window.cell.route == DIRECT else {"proxy": window.cell.route}
    own = sum(after.cpu(name) - before.cpu(name) for name in before.stats) + after.bench - before.bench
    others = after.processes - before.processes - own + after.stolen - before.stolen
    cores = {"stack": len(testbed.stack), "generator": len(testbed.generator)}
    window.cpu = {part: round(after.cpu(name) - before.cpu(name), 6) for part, name in parts.items()}
    window.cpu |= {"generator": round(generator_seconds, 6), "engine": round(after.engine - before.engine, 2)}
    window.memory = {part: after.memory(name) for part, name in parts.items()}
    window.memory_warm = {part: first.memory(name) for part, name in parts.items()}
    window.memory_peak = {part: after.peak(name) for part, name in parts.items()}
    # As if the others were all on the part with fewer cores.
    window.others = round(max(0.0, others / (after.at - before.at) / min(cores.values())), 3)
    busy = after.generator - before.generator
    window.saturation = round(min(1.0, busy / cores["generator"] / window.seconds), 3)
    restarts = sum(testbed.ended(name) for name in parts.values())
    throttled = sum(after.throttled(name) - before.throttled(name) for name in parts.values())
    window.invalid = find_invalidities(window, restarts, throttled)
    return window


def failed_window(cell: Cell, rule: str, reason: str) -> Window:
    """A window in which nothing was measured."""
    return Window(cell, invalid=[Invalidity(rule, reason)])
