"""C21: which process gives a request to a worker, and how even are the shares?"""

import asyncio
from typing import Any, NamedTuple

import pytest

from apps.runtime import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.http_client import Answer, Connection, Target, send_gets
from tests.claims.support.processes import ServerProcesses
from tests.claims.support.server_scripts import BEHIND_APACHE, find_servers_whose_workers_accept
from tests.claims.support.shares import chance_of_4, chi_square, count_shares
from tests.claims.support.single_server import SingleServer
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim("C21", "The main server distributes the requests among the workers")
WORKERS = 4
REQUESTS = 160
IN_FLIGHT = 16
EVEN = 0.05  # shares count as uneven where even chance has a smaller probability
CONCURRENCIES = (1, 8, 32)
ROUTES = ("direct", *DEFAULT_PROXIES)
CELLS = [(concurrency, keep_alive) for keep_alive in (True, False) for concurrency in CONCURRENCIES]


class Served(NamedTuple):
    """A stack whose app has these workers, and the app's address without a proxy."""

    stack: StackUnderTest
    name: str
    target: Target
    workers: list[int]


@pytest.fixture(scope="module", params=find_servers_whose_workers_accept(), ids="-".join)
def served(request: pytest.FixtureRequest, stack: StackUnderTest) -> Served:
    """Each server in turn, as soon as all its workers answer."""
    server, interface = request.param
    stack.serve(server, interface, WORKERS=str(WORKERS))
    target = Target(stack.address("app", "backend"))
    processes = SingleServer(stack.app()).read_processes()
    assert len(processes.workers) == WORKERS
    assert wait_until(lambda: does_every_worker_answer(target, processes.pids), 30)
    return Served(stack, f"{server} {interface}", target, processes.pids)


def does_every_worker_answer(target: Target, workers: list[int]) -> bool:
    """Whether every worker answers requests."""
    answers = send_gets(target, "/process", 32, keep_alive=False, requests=64)
    return {answer.pid for answer in answers} == set(workers)


@pytest.mark.long
def test_the_main_process_never_has_a_connection(served: Served, finding: Finding) -> None:
    """While requests wait in the application, /proc shows which process holds each connection and each socket."""
    processes, answers = asyncio.run(watch_in_flight(served))
    assert {answer.status for answer in answers} == {200}
    assert processes.main and len(processes.workers) == WORKERS
    held = [worker.connections for worker in processes.workers]
    assert sum(held) + processes.main.connections >= WORKERS, "nothing was in flight"
    total = sum(held) + processes.main.connections + processes.waiting
    assert total >= IN_FLIGHT, "a connection was not found"  # idle connections of the proxies come on top
    server, interface = served.name.split()
    model_in_script = serve.facts(serve.SERVERS / interface / f"{server}.sh")["workers"]
    assert ("SO_REUSEPORT" in model_in_script) == ("SO_REUSEPORT" in describe_model(processes)), (
        "the server's script names another model"
    )
    finding.setdefault("holders", {})[served.name] = {
        "main": processes.main.connections,
        "workers": sorted(held, reverse=True),
        "not accepted yet": processes.waiting,
        "main listens": len(processes.main.listens),
        "model": describe_model(processes),
    }


@pytest.mark.long
def test_apaches_processes_take_the_connections_of_mod_wsgis_workers(stack: StackUnderTest, finding: Finding) -> None:
    stack.serve(*BEHIND_APACHE, WORKERS=str(WORKERS))
    processes, answers = asyncio.run(watch_in_flight(Served(stack, "", Target(stack.address("app", "backend")), [])))
    assert {answer.status for answer in answers} == {200} and len(processes.workers) == WORKERS
    finding["handed over"] = {
        "connections of main": processes.main.connections if processes.main else 0,
        "connections of workers": sum(worker.connections for worker in processes.workers),
    }


async def watch_in_flight(served: Served) -> tuple[ServerProcesses, list[Answer]]:
    """Sends requests that take 1.5 s: the processes while they are in flight, and the answers."""
    connections = [await Connection(served.target).connect() for _ in range(IN_FLIGHT)]
    for connection in connections:
        await connection.send("/wait/1500", close=True)
    processes = await asyncio.to_thread(SingleServer(served.stack.app()).read_processes)
    answers = await asyncio.gather(*(connection.read() for connection in connections))
    for connection in connections:
        connection.end()
    return processes, answers


def describe_model(processes: ServerProcesses) -> str:
    """How workers accept connections, as the listening sockets that they hold show."""
    held = [worker.listens for worker in processes.workers]
    if all(len(listens) == 1 for listens in held) and len(set(held)) == len(held):
        return "a socket per worker (SO_REUSEPORT)"
    if len(set(held)) == 1 and len(held[0]) == 1:
        return "one shared socket"
    return "another"


@pytest.mark.long
def test_the_share_of_each_worker(served: Served, finding: Finding) -> None:
    stack, workers = served.stack, served.workers
    targets = {"direct": served.target}
    targets |= {proxy: Target("127.0.0.1", stack.https_port(proxy), stack.tls()) for proxy in DEFAULT_PROXIES}
    cells: dict[str, list[int]] = {}
    for route, target in targets.items():
        for concurrency, keep_alive in CELLS:
            answers = send_gets(target, "/process", concurrency, keep_alive, requests=REQUESTS)
            assert {answer.status for answer in answers} == {200} and len(answers) == REQUESTS
            counts = count_shares(answers, workers)
            assert len(counts) == WORKERS, "no other process answered"
            cells[cell_key(route, concurrency, keep_alive)] = counts
            if route == "direct" and keep_alive:
                pids: dict[int, set[int]] = {}
                for answer in answers:
                    pids.setdefault(answer.connection, set()).add(answer.pid)
                moved = sum(len(worker_pids) > 1 for worker_pids in pids.values())
                finding.setdefault("connections that changed worker", {})[f"{served.name} {concurrency}"] = moved
    finding.setdefault("shares", {})[served.name] = cells


def cell_key(route: str, concurrency: int, keep_alive: bool) -> str:
    """The name of a cell in the finding."""
    return f"{route}, {concurrency}, {'kept' if keep_alive else 'new'}"


def conclude(finding: Finding) -> Conclusion:
    """Never was, if no main process holds a connection while requests run; with a limit, if only on some servers."""
    holders: dict[str, Any] = finding["holders"]
    distributing = [name for name, holder in holders.items() if holder["main"]]
    verdict: Verdict = (
        "never was" if not distributing else "holds" if len(distributing) == len(holders) else "holds with a limit"
    )
    evidence = write_holders_evidence(holders, distributing) + write_shares_evidence(finding)
    if not any(finding["handed over"].values()):
        evidence += " mod_wsgi is another case: Apache's own processes hold the connections and hand on requests."
    return Conclusion(verdict, evidence, (make_accept_table(finding), make_shares_table(finding["shares"])))


def write_holders_evidence(holders: dict[str, Any], distributing: list[str]) -> str:
    """Which processes hold the connections."""
    models: dict[str, list[str]] = {}
    for name, holder in holders.items():
        models.setdefault(holder["model"], []).append(name)
    accepting = "; ".join(f"{model}: {len(names)}" for model, names in models.items())
    return (
        f"With {IN_FLIGHT} requests in flight the main process held a connection on {len(distributing)} of "
        f"{len(holders)} servers: the workers accept for themselves ({accepting})."
    )


def write_shares_evidence(finding: Finding) -> str:
    """How even the shares of the workers are."""
    shares: dict[str, dict[str, list[int]]] = finding["shares"]
    on_one_connection = [cells[cell_key("direct", 1, True)] for cells in shares.values()]
    pinned = sum(counts[0] == sum(counts) for counts in on_one_connection)
    moved = sum(finding["connections that changed worker"].values())
    busiest = {
        kept: [cells[cell_key("direct", 32, kept)][0] / REQUESTS for cells in shares.values()] for kept in (True, False)
    }
    ranges = {kept: f"{min(values):.0%} to {max(values):.0%}" for kept, values in busiest.items()}
    even = count_even_cells(shares)
    most = max(even, key=lambda name: even[name])
    return (
        f" One kept connection sends all to one worker on {pinned} of {len(shares)}; {moved} connections changed "
        f"worker. Of 4 workers the busiest gets {ranges[False]} of 32 clients' requests on new connections and "
        f"{ranges[True]} on kept ones; even is 25%."
        f" Even by chi-square most often is {most}: {even[most]} of {len(shares[most])} cells."
    )


def count_even_cells(shares: dict[str, dict[str, list[int]]]) -> dict[str, int]:
    """By server: in how many cells chance explains the shares."""
    return {name: sum(calculate_chance(counts) >= EVEN for counts in cells.values()) for name, cells in shares.items()}


def make_accept_table(finding: Finding) -> Table:
    """The model of each server, and the process that holds each connection."""
    shares = finding["shares"]
    even = count_even_cells(shares)
    rows = [
        [
            f"`{name}`",
            holder["model"],
            "also holds the socket" if holder["main listens"] else "does not listen",
            f"{holder['main']} / {' '.join(map(str, holder['workers']))} / {holder['not accepted yet']}",
            f"{even[name]} of {len(shares[name])}" if name in even else "–",
        ]
        for name, holder in finding["holders"].items()
    ]
    return Table(
        "How workers accept",
        ["server", "model", "its main process", "connections of main / workers / in the queue", "even in"],
        rows,
        f"{WORKERS} workers, {IN_FLIGHT} requests of 1.5 s sent at once; sockets by inode from /proc. "
        f"Idle connections of the proxies are among them. Even: the cells of the table below with p of {EVEN} or more.",
    )


def make_shares_table(shares: dict[str, dict[str, list[int]]]) -> Table:
    """The shares of the busiest and the idlest worker, by server and route."""
    columns = [f"{number}, {'kept' if kept else 'new'}" for number, kept in CELLS]
    rows = [
        [f"`{name}`", route, *(make_share_cell(cells[cell_key(route, number, kept)]) for number, kept in CELLS)]
        for name, cells in shares.items()
        for route in ROUTES
    ]
    return Table(
        "Shares",
        ["server", "route", *columns],
        rows,
        f"Busiest worker : idlest of {WORKERS}, over {REQUESTS} requests by so many clients at a time, each on one "
        "kept connection or on a new one each time; then p: how likely an even chance is at least so uneven "
        "(chi-square, 3 degrees). Behind a proxy the client's connections are not the worker's.",
    )


def make_share_cell(counts: list[int]) -> str:
    """The busiest worker's requests, the idlest worker's, and the probability."""
    p = calculate_chance(counts)
    return f"{counts[0]}:{counts[-1]} (p {f'{p:.2f}' if p >= 0.005 else '<0.01'})"


def calculate_chance(counts: list[int]) -> float:
    """The probability that even chance makes these shares at least that uneven."""
    return chance_of_4(chi_square(counts))
