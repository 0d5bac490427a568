"""C12: more workers do more: each gets requests, and together they have more of them at a time."""

import time
from statistics import median

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, load, single_server
from tests.claims.single_server import SingleServer, SingleServers

CLAIM = Claim(
    "C12",
    "The application server manages workers and distributes requests among them for scale",
    also=("test_the_share_of_each_worker", "test_a_killed_worker_does_not_take_others_along"),
)
NUMBERS = ("1", "2", "4")
REQUESTS, ROUNDS = 960, 3  # requests for the shares; rounds for what is had at a time
ONE_AT_A_TIME = (("gunicorn-sync", "wsgi"), ("gunicorn", "wsgi"), ("granian", "wsgi"), ("uvicorn", "wsgi"))
SCALES = 1.5  # four workers against one, at least: on a shared socket one may take more than it can do


@pytest.mark.long
def test_every_worker_gets_requests(servers: SingleServers, finding: Finding) -> None:
    ones = [servers.start(*pair, WORKERS="4") for pair in single_server.with_workers()]
    try:
        for one in ones:
            workers = one.ready().look().pids
            answers = single_server.ask(one.target, "/process", 32, keep_alive=False, requests=REQUESTS)
            assert {answer.status for answer in answers} == {200}
            finding.setdefault("shares", {})[one.name] = load.shares(answers, workers)
    finally:
        servers.remove(*ones)
    finding["without workers"] = [" ".join(pair) for pair in serve.pairs() if single_server.has_one_process(*pair)]


@pytest.mark.long
def test_more_workers_have_more_requests_at_a_time(servers: SingleServers, finding: Finding) -> None:
    """Workers of one thread, so that only workers can make a difference; requests that wait, so that cores cannot."""
    ones = [servers.start(*pair, WORKERS=number, THREADS="1") for pair in ONE_AT_A_TIME for number in NUMBERS]
    try:
        for one in ones:
            one.ready()
        rounds = [[at_a_time(one) for one in ones] for _ in range(ROUNDS)]
        for one, *figures in zip(ones, *rounds, strict=True):
            finding.setdefault("at a time", {}).setdefault(one.name, {})[str(one.workers)] = figures
    finally:
        servers.remove(*ones)


def at_a_time(one: SingleServer) -> float:
    """How many requests of a tenth of a second it has at a time, when asked for sixteen."""
    began = time.monotonic()
    answers = single_server.ask(one.target, "/wait/100", 16, keep_alive=False, requests=16)
    assert {answer.status for answer in answers} == {200}
    return round(len(answers) * 0.1 / (time.monotonic() - began), 1)


def conclude(found: Finding) -> Conclusion:
    """Holds if every server has workers, each gets requests and four do more than one; with a limit if only some do."""
    shares: dict[str, list[int]] = found["shares"]
    fed = [name for name, counts in shares.items() if counts[-1] > 0 and len(counts) == 4]
    rounds: dict[str, dict[str, list[float]]] = found["at a time"]
    times = {name: {number: median(some) for number, some in one.items()} for name, one in rounds.items()}
    scaling = [name for name, one in times.items() if one["4"] / one["1"] >= SCALES]
    without: list[str] = found["without workers"]
    verdict: Verdict
    if not fed or not scaling:
        verdict = "never was"
    elif without or len(fed) < len(shares) or len(scaling) < len(times):
        verdict = "holds with a limit"
    else:
        verdict = "holds"
    spread = [counts[0] / max(1, counts[-1]) for counts in shares.values()]
    sync = times["gunicorn-sync wsgi"]
    evidence = (
        f"On {len(fed)} of {len(shares)} server scripts with workers each of four gets requests, the busiest "
        f"{min(spread):.1f} to {max(spread):.1f} times those of the idlest; {' and '.join(without)} have no workers. "
        f"With one thread each, 1, 2 and 4 workers of gunicorn sync have {sync['1']}, {sync['2']} and {sync['4']} "
        f"requests at a time; {len(scaling)} of {len(times)} such servers have at least {SCALES} times as many with "
        "four. Who gives them out, and how evenly: C21."
    )
    tables = (
        Table(
            "Shares",
            ["server", "requests of each of 4 workers"],
            [[f"`{name}`", " ".join(map(str, counts))] for name, counts in shares.items()],
            f"{REQUESTS} requests from 32 clients, without a proxy, each on a new connection: one sample; C21 "
            "has more ways, and how likely chance alone is so uneven.",
        ),
        Table(
            "Requests at a time, one thread per worker",
            ["server", *(f"{number} workers" for number in NUMBERS)],
            [[f"`{name}`", *(ranged(one[number]) for number in NUMBERS)] for name, one in rounds.items()],
            f"`/wait/100`, 16 times from 16 clients on new connections; median and range of {ROUNDS} rounds that take "
            "turns. Where workers share a socket, one may accept more than it can do, and the rest wait behind it.",
        ),
    )
    return Conclusion(verdict, evidence, tables)


def ranged(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values)} ({min(values)}–{max(values)})"
