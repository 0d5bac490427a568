"""C13: whose are the connections and the sessions: a database pool per worker, and nothing that workers share."""

import json
from collections import Counter
from typing import Any

import pytest

from tests import live
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, alone
from tests.claims.alone import Alone, Servers

CLAIM = Claim("C13", "The application server manages connections and sessions, of users and to the database")
SIZE = 3  # as in apps/*/life.py
WORKERS = 4


@pytest.mark.long
def test_each_worker_opens_a_pool_of_its_own_and_closes_it(servers: Servers, finding: Finding) -> None:
    """A SQLite pool of three: its open files are counted in /proc, its openings and closings are said by the app."""
    ones = []
    try:
        for server, interface in live.pairs():
            more = {} if alone.has_one_process(server, interface) else {"WORKERS": str(WORKERS)}
            ones.append(servers.start(server, interface, "life", **more))
        finding["pools"] = dict(alone.at_once(pooled, ones))
    finally:
        servers.remove(*ones)


def pooled(one: Alone) -> tuple[str, dict[str, Any]]:
    """The pool of one server, before its first request, after many, and after its end."""
    live.eventually(lambda: opened(one), 20)  # daphne waits for a request
    early = files(one)
    one.ready()
    seen: Counter[int] = Counter()
    counters: dict[int, int] = {}
    for answer in alone.ask(one.target, "/cache/public", 8, keep_alive=False, requests=100):
        page = json.loads(answer.body)
        seen[page["pid"]] += 1
        counters[page["pid"]] = max(counters.get(page["pid"], 0), page["serial"])
    assert counters == dict(seen), "a worker counts what it answered itself"
    during = files(one)
    live.docker("stop", "--time", "30", one.container)
    said = [line.split()[1:] for line in one.logs().splitlines() if line.startswith("life: ")]
    times = {event: Counter(pid for what, pid in said if what == event) for event in ("open", "close")}
    return one.name, {
        "workers": one.workers,
        "files before a request": sum(early),
        "files": during,
        "opened": sorted(times["open"].values()),
        "closed": sorted(times["close"].values()),
        "counters": sorted(counters.values(), reverse=True),
    }


def opened(one: Alone) -> bool:
    """Whether every worker has opened its pool."""
    return one.logs().count("life: open") >= one.workers


def files(one: Alone) -> list[int]:
    """How often each process that has the database open has it open."""
    family = one.look()
    assert family.main
    return sorted((worker.database for worker in [family.main, *family.workers] if worker.database), reverse=True)


def conclude(found: Finding) -> Conclusion:
    """With a limit, if pools are per worker and nothing is shared between workers; holds, if they share."""
    pools: dict[str, Any] = found["pools"]
    several = {name: one for name, one in pools.items() if one["workers"] > 1}
    own = [name for name, one in pools.items() if one["files"] == [SIZE] * one["workers"]]
    early = [name for name in own if pools[name]["files before a request"] == SIZE * pools[name]["workers"]]
    clean = [name for name in early if pools[name]["closed"] == [1] * pools[name]["workers"]]
    leaky = {name: one for name, one in pools.items() if name not in clean}
    shared = [name for name, one in several.items() if len(one["counters"]) == 1]
    verdict: Verdict
    if not own:
        verdict = "never was"
    elif len(clean) == len(pools) and shared:
        verdict = "holds"
    else:
        verdict = "holds with a limit"
    exceptions = ", ".join(
        f"{name} ({'before the first request' if name in early else 'by the first request'}, "
        f"closed {len(one['closed'])} of {one['workers']})"
        for name, one in leaky.items()
    )
    example = several["granian asgi"]
    evidence = (
        f"The server gives the application a moment, and the application opens: on {len(own)} of {len(pools)} server "
        f"scripts each worker holds {SIZE} database connections of its own ({WORKERS} workers: {SIZE * WORKERS}), on "
        f"{len(clean)} opened before the first request and closed once. Others: {exceptions or 'none'}. No server "
        f"keeps a user's session: after 100 requests a counter in memory stands at "
        f"{', '.join(map(str, example['counters']))} in granian's {example['workers']} workers, and is one counter on "
        f"{len(shared)} of {len(several)} servers with workers."
    )
    rows = [
        [
            f"`{name}`",
            str(one["workers"]),
            str(one["files before a request"]),
            f"{sum(one['files'])} ({' '.join(map(str, one['files']))})",
            f"{sum(one['opened'])}",
            f"{sum(one['closed'])}",
            " ".join(map(str, one["counters"])),
        ]
        for name, one in pools.items()
    ]
    table = Table(
        "A SQLite pool of three, and a counter in memory",
        ["server", "workers", "open before a request", "open (per process)", "pools opened", "closed", "counters"],
        rows,
        "Open: descriptors of the database's file in /proc. ASGI opens at lifespan start-up, WSGI at import; ASGI "
        "closes in lifespan shutdown, not equally fast in each worker, WSGI at the process's exit (`atexit`). "
        "Counters: after 100 requests, one per process.",
    )
    return Conclusion(verdict, evidence, (table,))
