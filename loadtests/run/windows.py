"""The windows of one start of a server: what the generator saw, what it cost, and every reason not to count it."""

import datetime
from collections.abc import Iterator
from typing import Any

from loadtests.analysis.records import NONE, Cell
from loadtests.analysis.validity import gates
from loadtests.run.plan import DIRECT, Plan
from loadtests.run.testbed import Counters, Testbed
from loadtests.scenarios import scenarios

LOAD = "load"  # the generator's container
WARM = 0.25  # seconds


def windows(testbed: Testbed, cells: list[Cell], wanted: Plan) -> Iterator[dict[str, Any]]:
    """A line for each cell, after a warm-up of every way. The counters between two windows are read once for both."""
    if not cells:
        return
    for way in dict.fromkeys(cell.proxy for cell in cells):
        testbed.load(**order(testbed, next(cell for cell in cells if cell.proxy == way), wanted) | {"seconds": WARM})
    ways = {cell.proxy for cell in cells} - {DIRECT}
    containers = {name: testbed.proxies[name] for name in ways} | {LOAD: testbed.container(LOAD)}
    if any(cell.server != NONE for cell in cells):
        containers["app"] = testbed.app
    first = before = Counters(containers, testbed)
    for cell in cells:
        line = window(testbed, cell, wanted)
        after = Counters(containers, testbed)
        yield settled(testbed, cell, line, before, after, first)
        before = after


def order(testbed: Testbed, cell: Cell, wanted: Plan) -> dict[str, Any]:
    """What the generator is told: see agent.py."""
    user = scenarios()[cell.scenario].user(cell.variant)
    return {
        "mode": cell.mode,
        "tool": user["tool"],
        "scenario": cell.scenario,
        "variant": cell.variant,
        "url": testbed.url(cell.proxy, cell.server == NONE and cell.scenario != "static"),
        "clients": user["clients"],
        "rate": wanted.rate or user["offered"],
        "seconds": user["seconds"],
        "http": cell.http,
    }


def window(testbed: Testbed, cell: Cell, wanted: Plan) -> dict[str, Any]:
    """What the generator saw in one window."""
    started = datetime.datetime.now(datetime.UTC)
    given = order(testbed, cell, wanted)
    offered = {"offered": given["rate"]} if cell.mode == "rate" else {}
    found = testbed.load(**given)
    facts = {"started": f"{started:%Y-%m-%dT%H:%M:%SZ}", "clients": given["clients"], **offered}
    return cell._asdict() | facts | found


def settled(
    testbed: Testbed, cell: Cell, line: dict[str, Any], before: Counters, after: Counters, first: Counters
) -> dict[str, Any]:
    """The window with what it cost, and every reason not to count it."""
    parts = {} if cell.server == NONE else {"app": "app"}
    parts |= {} if cell.proxy == DIRECT else {"proxy": cell.proxy}
    span = after.at - before.at
    generator, engine = line.pop("generator", 0.0), after.engine - before.engine
    ours = sum(after.cpu(name) - before.cpu(name) for name in before.stats) + after.bench - before.bench
    others = after.processes - before.processes - ours + after.stolen - before.stolen
    cores = {"stack": len(testbed.stack), "generator": len(testbed.generator)}
    cpu = {part: round(after.cpu(name) - before.cpu(name), 6) for part, name in parts.items()}
    line |= {
        "cpu": cpu | {"generator": round(generator, 6), "engine": round(engine, 2)},
        "memory": {part: after.memory(name) for part, name in parts.items()},
        "warm": {part: first.memory(name) for part, name in parts.items()},
        "peak": {part: after.peak(name) for part, name in parts.items()},
        "host": round(max(0.0, others / span / min(cores.values())), 3),  # as if all on the smaller part
    }
    if "failed" in line:
        return empty(cell, "generator failed", line["failed"])
    busy = after.generator - before.generator
    line["saturation"] = round(min(1.0, busy / cores["generator"] / line["seconds"]), 3)
    restarts = sum(testbed.ended(name) for name in parts.values())
    throttled = sum(after.throttled(name) - before.throttled(name) for name in parts.values())
    return line | {"gates": gates(line, restarts, throttled)}


def empty(cell: Cell, gate: str, why: str) -> dict[str, Any]:
    """A window in which nothing was measured."""
    nothing = {"seconds": 0.0, "requests": 0, "errors": {}, "latency": {}, "cpu": {}, "memory": {}}
    return cell._asdict() | nothing | {"gates": [{"gate": gate, "why": why}]}
