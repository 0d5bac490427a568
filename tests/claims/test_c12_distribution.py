"""C12: do more workers do more? Each must get requests, and together they must have more requests at a time."""

import time
from statistics import median

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.http_client import send_gets
from tests.claims.support.server_scripts import find_servers_with_workers, has_one_process
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.shares import count_shares
from tests.claims.support.single_server import SingleServer

CLAIM = Claim(
    "C12",
    "The application server manages workers and distributes requests among them for scale",
    also=("test_the_share_of_each_worker", "test_a_killed_worker_does_not_take_others_along"),
)
NUMBERS = ("1", "2", "4")
REQUESTS, ROUNDS = 960, 3  # requests for the shares; rounds for the requests at a time
# Servers whose worker of one thread has one request at a time.
ONE_AT_A_TIME = (("gunicorn-sync", "wsgi"), ("gunicorn", "wsgi"), ("granian", "wsgi"), ("uvicorn", "wsgi"))
SCALES = 1.5  # four workers against one, at least; a worker on a shared socket may accept more than it can do


@pytest.mark.long
def test_every_worker_gets_requests(servers: SingleServers, finding: Finding) -> None:
    started = [servers.start(*pair, WORKERS="4") for pair in find_servers_with_workers()]
    try:
        for server in started:
            workers = server.wait_for_workers().read_processes().pids
            answers = send_gets(server.target, "/process", 32, keep_alive=False, requests=REQUESTS)
            assert {answer.status for answer in answers} == {200}
            finding.setdefault("shares", {})[server.name] = count_shares(answers, workers)
    finally:
        servers.remove(*started)
    finding["without workers"] = [" ".join(pair) for pair in serve.pairs() if has_one_process(*pair)]


@pytest.mark.long
def test_more_workers_have_more_requests_at_a_time(servers: SingleServers, finding: Finding) -> None:
    """Each worker has one thread, so that only workers can make a difference. Requests wait, so that cores cannot."""
    started = [servers.start(*pair, WORKERS=number, THREADS="1") for pair in ONE_AT_A_TIME for number in NUMBERS]
    try:
        for server in started:
            server.wait_for_workers()
        rounds = [[measure_at_a_time(server) for server in started] for _ in range(ROUNDS)]
        for server, *figures in zip(started, *rounds, strict=True):
            finding.setdefault("at a time", {}).setdefault(server.name, {})[str(server.workers)] = figures
    finally:
        servers.remove(*started)


def measure_at_a_time(server: SingleServer) -> float:
    """How many requests of a tenth of a second the server has at a time, when sixteen come at once."""
    began = time.monotonic()
    answers = send_gets(server.target, "/wait/100", 16, keep_alive=False, requests=16)
    assert {answer.status for answer in answers} == {200}
    return round(len(answers) * 0.1 / (time.monotonic() - began), 1)


def conclude(finding: Finding) -> Conclusion:
    """Holds if each worker of every server gets requests and four do more than one; with a limit if only on some."""
    shares: dict[str, list[int]] = finding["shares"]
    feeding = [name for name, counts in shares.items() if counts[-1] > 0 and len(counts) == 4]
    medians = {
        name: {number: median(values) for number, values in rounds.items()}
        for name, rounds in finding["at a time"].items()
    }
    scaling = [name for name, numbers in medians.items() if numbers["4"] / numbers["1"] >= SCALES]
    without: list[str] = finding["without workers"]
    verdict: Verdict
    if not feeding or not scaling:
        verdict = "never was"
    elif without or len(feeding) < len(shares) or len(scaling) < len(medians):
        verdict = "holds with a limit"
    else:
        verdict = "holds"
    spread = [counts[0] / max(1, counts[-1]) for counts in shares.values()]
    sync = medians["gunicorn-sync wsgi"]
    evidence = (
        f"On {len(feeding)} of {len(shares)} server scripts with workers each of four gets requests, the busiest "
        f"{min(spread):.1f} to {max(spread):.1f} times those of the idlest; {' and '.join(without)} have no workers. "
        f"With one thread each, 1, 2 and 4 workers of gunicorn sync have {sync['1']}, {sync['2']} and {sync['4']} "
        f"requests at a time; {len(scaling)} of {len(medians)} such servers have at least {SCALES} times as many with "
        "four. Who gives them out, and how evenly: C21."
    )
    return Conclusion(verdict, evidence, make_tables(finding))


def make_tables(finding: Finding) -> tuple[Table, Table]:
    """The shares of the workers, and the requests at a time."""
    shares, rounds = finding["shares"], finding["at a time"]
    return (
        Table(
            "Shares",
            ["server", "requests of each of 4 workers"],
            [[f"`{name}`", " ".join(map(str, counts))] for name, counts in shares.items()],
            f"{REQUESTS} requests from 32 clients, without a proxy, each on a new connection: one sample; C21 "
            "has more routes, and how likely chance alone is so uneven.",
        ),
        Table(
            "Requests at a time, one thread per worker",
            ["server", *(f"{number} workers" for number in NUMBERS)],
            [
                [f"`{name}`", *(median_and_range(by_number[number]) for number in NUMBERS)]
                for name, by_number in rounds.items()
            ],
            f"`/wait/100`, 16 times from 16 clients on new connections; median and range of {ROUNDS} rounds that take "
            "turns. Where workers share a socket, one may accept more than it can do, and the rest wait behind it.",
        ),
    )


def median_and_range(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values)} ({min(values)}–{max(values)})"
