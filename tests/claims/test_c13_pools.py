"""C13: whose are the connections and the sessions: a database pool per worker, and nothing that workers share."""

import json
from collections import Counter
from typing import Any

import pytest

from apps import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, database, protocols, single_server
from tests.claims.single_server import SingleServer, SingleServers
from tests.support.engine import docker

CLAIM = Claim("C13", "The application server manages connections and sessions, of users and to the database")
SIZE = 3  # as in apps/*/life.py
WORKERS = 4
POSTGRES_SERVERS = (("gunicorn", "asgi"), ("gunicorn", "wsgi"))
POSTGRES_WORKERS = (1, 2, 4)
# What PostgreSQL says where only the superuser's reserve is left, and where nothing is.
REFUSALS = ("remaining connection slots are reserved", "sorry, too many clients already")


@pytest.mark.long
def test_each_worker_opens_a_pool_of_its_own_and_closes_it(servers: SingleServers, finding: Finding) -> None:
    """A SQLite pool of three: its open files are counted in /proc, its openings and closings are said by the app."""
    ones = []
    try:
        for server, interface in serve.pairs():
            more = {} if single_server.has_one_process(server, interface) else {"WORKERS": str(WORKERS)}
            ones.append(servers.start(server, interface, single_server.APPS / interface / "life.py", **more))
        finding["pools"] = dict(single_server.at_once(pooled, ones))
    finally:
        servers.remove(*ones)


@pytest.fixture(scope="module")
def pools(servers: SingleServers) -> SingleServers:
    """The servers, and the images with PostgreSQL and with its driver."""
    database.build()
    protocols.build_image()
    return servers


@pytest.mark.long
def test_postgresql_counts_a_pool_for_each_worker(pools: SingleServers, finding: Finding) -> None:
    """Counted by the database: before a request, after many, and after the server's end."""
    ones: list[SingleServer] = []
    with database.run(most=100) as base:
        finding["postgresql"] = base.ask("SHOW server_version").split()[0]
        settings = base.environment | {"POOL_SECONDS": "60"}
        try:
            for server, interface in POSTGRES_SERVERS:
                app = single_server.APPS / interface / "pool.py"
                for workers in POSTGRES_WORKERS:
                    more = settings | {"WORKERS": str(workers), "PGAPPNAME": f"{server} {interface} {workers}"}
                    ones.append(pools.start(server, interface, app, image=protocols.IMAGE, **more))

            def counted(one: SingleServer) -> dict[str, Any]:
                name = f"{one.name} {one.workers}"
                wait_until(lambda: base.connections(name) >= SIZE * one.workers, 60)
                before = base.connections(name)
                one.ready()
                during = base.connections(name)
                docker("stop", "--time", "30", one.container)
                wait_until(lambda: not base.connections(name), 30)
                found = {"before a request": before, "during": during, "after the end": base.connections(name)}
                return {"server": one.name, "workers": one.workers} | found

            finding["connections"] = single_server.at_once(counted, ones)
        finally:
            pools.remove(*ones)
    for one in finding["connections"]:
        assert one["before a request"] > 0, f"no pool was opened: {one}"


@pytest.mark.long
def test_a_pool_too_many_is_refused(pools: SingleServers, finding: Finding) -> None:
    """Four workers want twelve connections of a database that has seven to give: ten, of which it keeps three."""
    finding["limit"] = {}
    with database.run(most=10) as base:
        free = 10 - int(base.ask("SHOW superuser_reserved_connections"))
        assert free < SIZE * WORKERS, "there are enough for all"
        for server, interface in POSTGRES_SERVERS:
            name, before = f"{server} {interface}", refusals(base.logs())
            more = base.environment | {"POOL_SECONDS": "5", "WORKERS": str(WORKERS), "PGAPPNAME": name}
            one = pools.start(
                server, interface, single_server.APPS / interface / "pool.py", image=protocols.IMAGE, **more
            )
            try:
                ended, most = until_the_end(one, base)
                finding["limit"][name] = {
                    "free": free,
                    "most": most,
                    "refused": refusals(base.logs()) - before,
                    "said by the application": refusals(one.logs()),
                    "ended": ended,
                }
                pools.remove(one)
                assert wait_until(lambda name=name: not base.connections(name), 30), "connections are left"
            finally:
                pools.remove(one)
    for name, found in finding["limit"].items():
        assert found["refused"] > 0, f"{name} was refused nothing: {found}"
        assert found["most"] <= free


def refusals(log: str) -> int:
    """How often a log names PostgreSQL's limit."""
    return sum(any(refusal in line for refusal in REFUSALS) for line in log.splitlines())


def until_the_end(one: SingleServer, base: database.Database) -> tuple[bool, int]:
    """Whether a server ended by itself within a minute and a half, and the most connections it was seen to have."""
    seen: list[int] = []

    def ended() -> bool:
        seen.append(base.connections(one.name))
        return one.state().startswith("exited")

    return bool(wait_until(ended, 90)), max(seen)


def pooled(one: SingleServer) -> tuple[str, dict[str, Any]]:
    """The pool of one server, before its first request, after many, and after its end."""
    wait_until(lambda: opened(one), 20)  # daphne waits for a request
    early = files(one)
    one.ready()
    seen: Counter[int] = Counter()
    counters: dict[int, int] = {}
    for answer in single_server.ask(one.target, "/cache/public", 8, keep_alive=False, requests=100):
        page = json.loads(answer.body)
        seen[page["pid"]] += 1
        counters[page["pid"]] = max(counters.get(page["pid"], 0), page["serial"])
    assert counters == dict(seen), "a worker counts what it answered itself"
    during = files(one)
    docker("stop", "--time", "30", one.container)
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


def opened(one: SingleServer) -> bool:
    """Whether every worker has opened its pool."""
    return one.logs().count("life: open") >= one.workers


def files(one: SingleServer) -> list[int]:
    """How often each process that has the database open has it open."""
    family = one.look()
    assert family.main
    return sorted((worker.database for worker in [family.main, *family.workers] if worker.database), reverse=True)


def conclude(found: Finding) -> Conclusion:
    """With a limit, if pools are per worker and nothing is shared between workers; holds, if they share.

    Per worker: as SQLite's open files say on any server, and PostgreSQL on two.
    """
    pools: dict[str, Any] = found["pools"]
    several = {name: one for name, one in pools.items() if one["workers"] > 1}
    own = [name for name, one in pools.items() if one["files"] == [SIZE] * one["workers"]]
    early = [name for name in own if pools[name]["files before a request"] == SIZE * pools[name]["workers"]]
    clean = [name for name in early if pools[name]["closed"] == [1] * pools[name]["workers"]]
    leaky = {name: one for name, one in pools.items() if name not in clean}
    shared = [name for name, one in several.items() if len(one["counters"]) == 1]
    counts: list[dict[str, Any]] = found["connections"]
    exact = [
        one
        for one in counts
        if one["before a request"] == one["during"] == SIZE * one["workers"] and one["after the end"] == 0
    ]
    limit: dict[str, Any] = found["limit"]
    down = [name for name, one in limit.items() if one["ended"]]
    verdict: Verdict
    if not own or not exact:
        verdict = "never was"
    elif len(clean) == len(pools) and shared and len(exact) == len(counts):
        verdict = "holds"
    else:
        verdict = "holds with a limit"
    exceptions = ", ".join(
        f"{name} ({'before the first request' if name in early else 'by the first request'}, "
        f"closed {len(one['closed'])} of {one['workers']})"
        for name, one in leaky.items()
    )
    example = several["granian asgi"]
    free = min(one["free"] for one in limit.values())
    evidence = (
        f"The server gives the application a moment, and the application opens: on {len(own)} of {len(pools)} server "
        f"scripts each worker holds {SIZE} database connections of its own ({WORKERS} workers: {SIZE * WORKERS}), on "
        f"{len(clean)} opened before the first request and closed once. Others: {exceptions or 'none'}. PostgreSQL "
        f"counts the same in {len(exact)} of {len(counts)} cases: {', '.join(str(SIZE * n) for n in POSTGRES_WORKERS)} "
        f"connections of {', '.join(map(str, POSTGRES_WORKERS))} workers, and none after the server's end. Workers × "
        f"pool size must fit into its max_connections: of {SIZE * WORKERS} wanted and {free} free it refuses the rest "
        f"(“FATAL: remaining connection slots are reserved”), and {len(down)} of {len(limit)} servers end. No server "
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
    more = [
        [f"`{one['server']}`", *(str(one[name]) for name in ("workers", "before a request", "during", "after the end"))]
        for one in counts
    ]
    counted = Table(
        "A PostgreSQL pool of three, counted by the database",
        ["server", "workers", "before a request", "after many", "after the end"],
        more,
        f"Rows of `pg_stat_activity`, PostgreSQL {found['postgresql']}, psycopg_pool. ASGI opens at lifespan start-up, "
        f"WSGI at import, in the worker. With max_connections = 10, of which the superuser keeps {10 - free}: "
        + "; ".join(
            f"`{name}` with {WORKERS} workers had {one['most']} connections at most, the database refused "
            f"the rest, and the server {'ended' if one['ended'] else 'went on'}"
            for name, one in limit.items()
        )
        + ".",
    )
    return Conclusion(verdict, evidence, (table, counted))
