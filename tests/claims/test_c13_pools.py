"""C13: who has the connections and the sessions? Each worker has a database pool, and workers share nothing."""

import json
from collections import Counter
from typing import Any

import pytest

from apps.runtime import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support import postgresql, protocols
from tests.claims.support.http_client import send_gets
from tests.claims.support.server_scripts import has_one_process
from tests.claims.support.server_starter import APPS, SingleServers
from tests.claims.support.single_server import SingleServer, measure_side_by_side

CLAIM = Claim("C13", "The application server manages connections and sessions, of users and to the database")
SIZE = 3  # as in apps/*/life_cycle.py and apps/*/postgresql_pool.py
WORKERS = 4
POSTGRES_SERVERS = (("gunicorn", "asgi"), ("gunicorn", "wsgi"))
POSTGRES_WORKERS = (1, 2, 4)
# PostgreSQL's messages where only the reserve of the superuser is left, and where no connection is left.
REFUSALS = ("remaining connection slots are reserved", "sorry, too many clients already")


@pytest.mark.long
def test_each_worker_opens_a_pool_of_its_own_and_closes_it(servers: SingleServers, finding: Finding) -> None:
    """A SQLite pool of three. /proc shows its open files, and the application logs its opening and closing."""
    started = []
    try:
        for server, interface in serve.pairs():
            settings = {} if has_one_process(server, interface) else {"WORKERS": str(WORKERS)}
            started.append(servers.start(server, interface, APPS / interface / "life_cycle.py", **settings))
        finding["pools"] = dict(measure_side_by_side(measure_pool, started))
    finally:
        servers.remove(*started)


@pytest.fixture(scope="module")
def with_postgresql(servers: SingleServers) -> None:
    """Builds the images of PostgreSQL and of its driver."""
    postgresql.build_image()
    protocols.build_image()


@pytest.mark.long
@pytest.mark.usefixtures("with_postgresql")
def test_postgresql_counts_a_pool_for_each_worker(servers: SingleServers, finding: Finding) -> None:
    """Counted by the database: before a request, after many, and after the server's end."""
    started: list[SingleServer] = []
    with postgresql.run_database(max_connections=100) as database:
        finding["postgresql"] = database.query("SHOW server_version").split()[0]
        settings = database.environment | {"POOL_SECONDS": "60"}
        try:
            for server, interface in POSTGRES_SERVERS:
                app = APPS / interface / "postgresql_pool.py"
                for workers in POSTGRES_WORKERS:
                    own = settings | {"WORKERS": str(workers), "PGAPPNAME": f"{server} {interface} {workers}"}
                    started.append(servers.start(server, interface, app, image=protocols.IMAGE, **own))
            finding["connections"] = measure_side_by_side(lambda single: count_three_times(single, database), started)
        finally:
            servers.remove(*started)
    for counts in finding["connections"]:
        assert counts["before a request"] > 0, f"no pool was opened: {counts}"


def count_three_times(single: SingleServer, database: postgresql.Database) -> dict[str, Any]:
    """The connections of one server: before a request, after many, and after its end."""
    name = f"{single.name} {single.workers}"
    wait_until(lambda: database.count_connections(name) >= SIZE * single.workers, 60)
    before = database.count_connections(name)
    single.wait_for_workers()
    during = database.count_connections(name)
    single.stop(30)
    wait_until(lambda: not database.count_connections(name), 30)
    counts = {"before a request": before, "during": during, "after the end": database.count_connections(name)}
    return {"server": single.name, "workers": single.workers} | counts


@pytest.mark.long
@pytest.mark.usefixtures("with_postgresql")
def test_a_pool_too_many_is_refused(servers: SingleServers, finding: Finding) -> None:
    """Four workers want twelve connections of a database that has seven to give: ten, of which it keeps three."""
    finding["limit"] = {}
    with postgresql.run_database(max_connections=10) as database:
        free = 10 - int(database.query("SHOW superuser_reserved_connections"))
        assert free < SIZE * WORKERS, "there are enough for all"
        for server, interface in POSTGRES_SERVERS:
            name, before = f"{server} {interface}", count_refusals(database.logs())
            settings = database.environment | {"POOL_SECONDS": "5", "WORKERS": str(WORKERS), "PGAPPNAME": name}
            app = APPS / interface / "postgresql_pool.py"
            single = servers.start(server, interface, app, image=protocols.IMAGE, **settings)
            try:
                ended, most = watch_until_end(single, database)
                finding["limit"][name] = {
                    "free": free,
                    "most": most,
                    "refused": count_refusals(database.logs()) - before,
                    "said by the application": count_refusals(single.logs()),
                    "ended": ended,
                }
                servers.remove(single)
                assert wait_until(lambda name=name: not database.count_connections(name), 30), "connections are left"
            finally:
                servers.remove(single)
    for name, limit in finding["limit"].items():
        assert limit["refused"] > 0, f"{name} was refused nothing: {limit}"
        assert limit["most"] <= free


def count_refusals(log: str) -> int:
    """How many lines of a log are a refusal of PostgreSQL."""
    return sum(any(refusal in line for refusal in REFUSALS) for line in log.splitlines())


def watch_until_end(server: SingleServer, database: postgresql.Database) -> tuple[bool, int]:
    """Whether a server ends by itself within 90 s, and the most connections that the database counted meanwhile."""
    counts: list[int] = []

    def ended() -> bool:
        counts.append(database.count_connections(server.name))
        return server.state().startswith("exited")

    return bool(wait_until(ended, 90)), max(counts)


def measure_pool(server: SingleServer) -> tuple[str, dict[str, Any]]:
    """The pool of one server: before its first request, after many, and after its end."""
    wait_until(lambda: has_opened_pools(server), 20)  # Daphne opens its pool at the first request
    early = count_open_files(server)
    server.wait_for_workers()
    answered: Counter[int] = Counter()
    counters: dict[int, int] = {}
    for answer in send_gets(server.target, "/cache/public", 8, keep_alive=False, requests=100):
        page = json.loads(answer.body)
        answered[page["pid"]] += 1
        counters[page["pid"]] = max(counters.get(page["pid"], 0), page["serial"])
    assert counters == dict(answered), "a worker counts what it answered itself"
    during = count_open_files(server)
    server.stop(30)
    logged = [line.split()[1:] for line in server.logs().splitlines() if line.startswith("life: ")]
    times = {
        event: Counter(pid for logged_event, pid in logged if logged_event == event) for event in ("open", "close")
    }
    return server.name, {
        "workers": server.workers,
        "files before a request": sum(early),
        "files": during,
        "opened": sorted(times["open"].values()),
        "closed": sorted(times["close"].values()),
        "counters": sorted(counters.values(), reverse=True),
    }


def has_opened_pools(server: SingleServer) -> bool:
    """Whether every worker has opened its pool."""
    return server.logs().count("life: open") >= server.workers


def count_open_files(server: SingleServer) -> list[int]:
    """How many descriptors of the database each process holds, without the processes that hold none."""
    processes = server.read_processes()
    assert processes.main
    return sorted((process.database for process in processes.all if process.database), reverse=True)


def conclude(finding: Finding) -> Conclusion:
    """With a limit, if pools are per worker and workers share nothing; holds, if workers share.

    Pools are per worker if SQLite's open files show it on a server, and PostgreSQL counts the same.
    """
    pools: dict[str, Any] = finding["pools"]
    exact = find_exact(finding["connections"])
    shared = [name for name, pool in find_with_workers(pools).items() if len(pool["counters"]) == 1]
    verdict: Verdict
    if not find_own(pools) or not exact:
        verdict = "never was"
    elif len(find_clean(pools)) == len(pools) and shared and len(exact) == len(finding["connections"]):
        verdict = "holds"
    else:
        verdict = "holds with a limit"
    evidence = write_sqlite_evidence(pools) + write_postgresql_evidence(finding) + write_session_evidence(pools)
    return Conclusion(verdict, evidence, (make_sqlite_table(pools), make_postgresql_table(finding)))


def find_own(pools: dict[str, Any]) -> list[str]:
    """The servers where each worker holds a pool of its own."""
    return [name for name, pool in pools.items() if pool["files"] == [SIZE] * pool["workers"]]


def find_early(pools: dict[str, Any]) -> list[str]:
    """Those of them where the pools are open before the first request."""
    return [name for name in find_own(pools) if pools[name]["files before a request"] == SIZE * pools[name]["workers"]]


def find_clean(pools: dict[str, Any]) -> list[str]:
    """Those of them where each worker closes its pool once."""
    return [name for name in find_early(pools) if pools[name]["closed"] == [1] * pools[name]["workers"]]


def find_with_workers(pools: dict[str, Any]) -> dict[str, Any]:
    """The servers with several workers."""
    return {name: pool for name, pool in pools.items() if pool["workers"] > 1}


def find_exact(connections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases in which PostgreSQL counts one pool for each worker, and none after the server's end."""
    return [
        counts
        for counts in connections
        if counts["before a request"] == counts["during"] == SIZE * counts["workers"] and counts["after the end"] == 0
    ]


def write_sqlite_evidence(pools: dict[str, Any]) -> str:
    """On how many servers each worker has a pool, and which servers do not open or close it in time."""
    early, clean = find_early(pools), find_clean(pools)
    exceptions = ", ".join(
        f"{name} ({'before the first request' if name in early else 'by the first request'}, "
        f"closed {len(pool['closed'])} of {pool['workers']})"
        for name, pool in pools.items()
        if name not in clean
    )
    return (
        f"The server gives the application a moment, and the application opens: on {len(find_own(pools))} of "
        f"{len(pools)} server scripts each worker holds {SIZE} database connections of its own ({WORKERS} workers: "
        f"{SIZE * WORKERS}), on {len(clean)} opened before the first request and closed once. "
        f"Others: {exceptions or 'none'}. "
    )


def write_postgresql_evidence(finding: Finding) -> str:
    """What PostgreSQL counts, and what happens where the pools are larger than its limit."""
    connections, limits = finding["connections"], finding["limit"]
    ended = [name for name, limit in limits.items() if limit["ended"]]
    return (
        f"PostgreSQL counts the same in {len(find_exact(connections))} of {len(connections)} cases: "
        f"{', '.join(str(SIZE * number) for number in POSTGRES_WORKERS)} "
        f"connections of {', '.join(map(str, POSTGRES_WORKERS))} workers, and none after the server's end. Workers × "
        f"pool size must fit into its max_connections: of {SIZE * WORKERS} wanted and {count_free(finding)} free it "
        f"refuses the rest (“FATAL: remaining connection slots are reserved”), and {len(ended)} of {len(limits)} "
        "servers end. "
    )


def count_free(finding: Finding) -> int:
    """How many connections the database with the low limit has to give."""
    return min(limit["free"] for limit in finding["limit"].values())


def write_session_evidence(pools: dict[str, Any]) -> str:
    """Whether workers share what an application keeps in memory."""
    several = find_with_workers(pools)
    shared = [name for name, pool in several.items() if len(pool["counters"]) == 1]
    example = several["granian asgi"]
    return (
        f"No server keeps a user's session: after 100 requests a counter in memory stands at "
        f"{', '.join(map(str, example['counters']))} in granian's {example['workers']} workers, and is one counter on "
        f"{len(shared)} of {len(several)} servers with workers."
    )


def make_sqlite_table(pools: dict[str, Any]) -> Table:
    """The SQLite pool, and a counter in memory, by server."""
    rows = [
        [
            f"`{name}`",
            str(pool["workers"]),
            str(pool["files before a request"]),
            f"{sum(pool['files'])} ({' '.join(map(str, pool['files']))})",
            f"{sum(pool['opened'])}",
            f"{sum(pool['closed'])}",
            " ".join(map(str, pool["counters"])),
        ]
        for name, pool in pools.items()
    ]
    return Table(
        "A SQLite pool of three, and a counter in memory",
        ["server", "workers", "open before a request", "open (per process)", "pools opened", "closed", "counters"],
        rows,
        "Open: descriptors of the database's file in /proc. ASGI opens at lifespan start-up, WSGI at import; ASGI "
        "closes in lifespan shutdown, not equally fast in each worker, WSGI at the process's exit (`atexit`). "
        "Counters: after 100 requests, one per process.",
    )


def make_postgresql_table(finding: Finding) -> Table:
    """The connections that PostgreSQL counts, by server and number of workers."""
    moments = ("workers", "before a request", "during", "after the end")
    rows = [
        [f"`{counts['server']}`", *(str(counts[moment]) for moment in moments)] for counts in finding["connections"]
    ]
    return Table(
        "A PostgreSQL pool of three, counted by the database",
        ["server", "workers", "before a request", "after many", "after the end"],
        rows,
        f"Rows of `pg_stat_activity`, PostgreSQL {finding['postgresql']}, psycopg_pool. ASGI opens at lifespan "
        "start-up, WSGI at import, in the worker. With max_connections = 10, of which the superuser keeps "
        f"{10 - count_free(finding)}: "
        + "; ".join(
            f"`{name}` with {WORKERS} workers had {limit['most']} connections at most, the database refused "
            f"the rest, and the server {'ended' if limit['ended'] else 'went on'}"
            for name, limit in finding["limit"].items()
        )
        + ".",
    )
