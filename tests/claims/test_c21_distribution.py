"""C21: who gives a request to which worker, and how even the shares are."""

import asyncio
from typing import Any, NamedTuple

import pytest

from apps import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, load, single_server
from tests.claims.single_server import SingleServer
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim("C21", "The main server distributes the requests among the workers")
WORKERS = 4
REQUESTS = 160
IN_FLIGHT = 16
EVEN = 0.05  # a smaller chance counts as uneven
CONCURRENCIES = (1, 8, 32)
WAYS = ("direct", *DEFAULT_PROXIES)
CELLS = [(concurrency, keep_alive) for keep_alive in (True, False) for concurrency in CONCURRENCIES]


class Served(NamedTuple):
    """A stack whose app has these workers, and where it is reached without a proxy."""

    stack: StackUnderTest
    name: str
    target: load.Target
    workers: list[int]


@pytest.fixture(scope="module", params=single_server.accepting(), ids="-".join)
def served(request: pytest.FixtureRequest, stack: StackUnderTest) -> Served:
    """Each server in turn, with all its workers answering."""
    server, interface = request.param
    stack.serve(server, interface, WORKERS=str(WORKERS))
    target = load.Target(stack.address("app", "backend"))
    family = SingleServer(stack.app()).look()
    assert len(family.workers) == WORKERS
    assert wait_until(lambda: everyone_answers(target, family.pids), 30)
    return Served(stack, f"{server} {interface}", target, family.pids)


def everyone_answers(target: load.Target, workers: list[int]) -> bool:
    """Whether every worker takes requests."""
    answers = single_server.ask(target, "/process", 32, keep_alive=False, requests=64)
    return {answer.pid for answer in answers} == set(workers)


@pytest.mark.long
def test_the_main_process_never_has_a_connection(served: Served, finding: Finding) -> None:
    """While requests wait in the application, /proc shows which process holds each connection and each socket."""
    family, answers = asyncio.run(watched(served))
    assert {answer.status for answer in answers} == {200}
    assert family.main and len(family.workers) == WORKERS
    held = [worker.connections for worker in family.workers]
    assert sum(held) + family.main.connections >= WORKERS, "nothing was in flight"
    found = sum(held) + family.main.connections + family.waiting
    assert found >= IN_FLIGHT, "a connection was not found"  # more: idle ones of the proxies
    server, interface = served.name.split()
    says = serve.facts(serve.HERE / "servers" / interface / f"{server}.sh")["workers"]
    assert ("SO_REUSEPORT" in says) == ("SO_REUSEPORT" in model(family)), "the script says otherwise"
    finding.setdefault("holders", {})[served.name] = {
        "main": family.main.connections,
        "workers": sorted(held, reverse=True),
        "not accepted yet": family.waiting,
        "main listens": len(family.main.listens),
        "model": model(family),
    }


@pytest.mark.long
def test_apaches_processes_take_the_connections_of_mod_wsgis_workers(stack: StackUnderTest, finding: Finding) -> None:
    stack.serve(*single_server.BEHIND, WORKERS=str(WORKERS))
    family, answers = asyncio.run(watched(Served(stack, "", load.Target(stack.address("app", "backend")), [])))
    assert {answer.status for answer in answers} == {200} and len(family.workers) == WORKERS
    finding["handed over"] = {
        "connections of main": family.main.connections if family.main else 0,
        "connections of workers": sum(worker.connections for worker in family.workers),
    }


async def watched(served: Served) -> tuple[single_server.Family, list[load.Answer]]:
    """Requests that take a while, and what /proc shows when they are in flight."""
    connections = [await load.Connection(served.target).connect() for _ in range(IN_FLIGHT)]
    for connection in connections:
        await connection.send("/wait/1500", close=True)
    family = await asyncio.to_thread(SingleServer(served.stack.app()).look)
    answers = await asyncio.gather(*(connection.read() for connection in connections))
    for connection in connections:
        connection.end()
    return family, answers


def model(family: single_server.Family) -> str:
    """How workers accept, read off the listening sockets that they hold."""
    held = [worker.listens for worker in family.workers]
    if all(len(one) == 1 for one in held) and len(set(held)) == len(held):
        return "a socket per worker (SO_REUSEPORT)"
    if len(set(held)) == 1 and len(held[0]) == 1:
        return "one shared socket"
    return "another"


@pytest.mark.long
def test_the_share_of_each_worker(served: Served, finding: Finding) -> None:
    stack, workers = served.stack, served.workers
    targets = {"direct": served.target}
    targets |= {proxy: load.Target("127.0.0.1", stack.https_port(proxy), stack.tls()) for proxy in DEFAULT_PROXIES}
    cells: dict[str, list[int]] = {}
    for way, target in targets.items():
        for concurrency, keep_alive in CELLS:
            answers = single_server.ask(target, "/process", concurrency, keep_alive, requests=REQUESTS)
            assert {answer.status for answer in answers} == {200} and len(answers) == REQUESTS
            counts = load.shares(answers, workers)
            assert len(counts) == WORKERS, "no other process answered"
            cells[key(way, concurrency, keep_alive)] = counts
            if way == "direct" and keep_alive:
                pids: dict[int, set[int]] = {}
                for answer in answers:
                    pids.setdefault(answer.connection, set()).add(answer.pid)
                moved = sum(len(one) > 1 for one in pids.values())
                finding.setdefault("connections that changed worker", {})[f"{served.name} {concurrency}"] = moved
    finding.setdefault("shares", {})[served.name] = cells


def key(way: str, concurrency: int, keep_alive: bool) -> str:
    """A cell's name."""
    return f"{way}, {concurrency}, {'kept' if keep_alive else 'new'}"


def conclude(found: Finding) -> Conclusion:
    """Never was, if no main process holds a connection while requests run; with a limit, if only some do."""
    holders: dict[str, Any] = found["holders"]
    distributing = [name for name, one in holders.items() if one["main"]]
    verdict: Verdict = (
        "never was" if not distributing else "holds" if len(distributing) == len(holders) else "holds with a limit"
    )
    models: dict[str, list[str]] = {}
    for name, one in holders.items():
        models.setdefault(one["model"], []).append(name)
    accepting = "; ".join(f"{what}: {len(who)}" for what, who in models.items())
    shares: dict[str, dict[str, list[int]]] = found["shares"]
    one_connection = [cells[key("direct", 1, True)] for cells in shares.values()]
    pinned = sum(counts[0] == sum(counts) for counts in one_connection)
    busiest = {
        kept: [cells[key("direct", 32, kept)][0] / REQUESTS for cells in shares.values()] for kept in (True, False)
    }
    ranges = {kept: f"{min(values):.0%} to {max(values):.0%}" for kept, values in busiest.items()}
    moved = sum(found["connections that changed worker"].values())
    evidence = (
        f"With {IN_FLIGHT} requests in flight the main process held a connection on {len(distributing)} of "
        f"{len(holders)} servers: the workers accept for themselves ({accepting}). One kept connection sends all to "
        f"one worker on {pinned} of {len(shares)}; {moved} connections changed worker. Of 4 workers the busiest gets "
        f"{ranges[False]} of 32 clients' requests on new connections and {ranges[True]} on kept ones; even is 25%."
    )
    even = {name: sum(chance(counts) >= EVEN for counts in cells.values()) for name, cells in shares.items()}
    most = max(even, key=lambda name: even[name])
    evidence += f" Even by chi-square most often is {most}: {even[most]} of {len(shares[most])} cells."
    accept = Table(
        "How workers accept",
        ["server", "model", "its main process", "connections of main / workers / in the queue", "even in"],
        [
            [
                f"`{name}`",
                one["model"],
                "also holds the socket" if one["main listens"] else "does not listen",
                f"{one['main']} / {' '.join(map(str, one['workers']))} / {one['not accepted yet']}",
                f"{even[name]} of {len(shares[name])}" if name in even else "–",
            ]
            for name, one in holders.items()
        ],
        f"{WORKERS} workers, {IN_FLIGHT} requests of 1.5 s sent at once; sockets by inode from /proc. "
        f"Idle connections of the proxies are among them. Even: the cells of the table below with p of {EVEN} or more.",
    )
    if not any(found["handed over"].values()):
        evidence += " mod_wsgi is another case: Apache's own processes hold the connections and hand on requests."
    columns = [f"{number}, {'kept' if kept else 'new'}" for number, kept in CELLS]
    table = Table(
        "Shares",
        ["server", "way", *columns],
        [
            [f"`{name}`", way, *(share(cells[key(way, concurrency, kept)]) for concurrency, kept in CELLS)]
            for name, cells in shares.items()
            for way in WAYS
        ],
        f"Busiest worker : idlest of {WORKERS}, over {REQUESTS} requests by so many clients at a time, each on one "
        "kept connection or on a new one each time; then p: how likely an even chance is at least so uneven "
        "(chi-square, 3 degrees). Behind a proxy the client's connections are not the worker's.",
    )
    return Conclusion(verdict, evidence, (accept, table))


def share(counts: list[int]) -> str:
    """One cell."""
    p = chance(counts)
    return f"{counts[0]}:{counts[-1]} (p {f'{p:.2f}' if p >= 0.005 else '<0.01'})"


def chance(counts: list[int]) -> float:
    """How likely even chance makes these shares at least that uneven."""
    return load.chance_of_4(load.chi_square(counts))
