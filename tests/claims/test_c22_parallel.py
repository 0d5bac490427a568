"""C22: what do workers do at the same time, and what does a blocked, killed or replaced worker do to the others?"""

import asyncio
import os
import time
from statistics import median
from typing import Any

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.containers import read_exit_codes
from tests.claims.support.http_client import Answer, Connection, Target, get_once, run_clients, send_gets
from tests.claims.support.processes import ServerProcesses
from tests.claims.support.server_scripts import find_servers_whose_workers_accept, find_servers_with_workers
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.single_server import SingleServer, measure_side_by_side

CLAIM = Claim("C22", "Workers work independently and run requests in parallel")
ROUNDS = 3
SECONDS = 0.6
BURN = "/burn/20000"  # about ten milliseconds of one core
LONG_BURN = "/burn/6000000"  # about three seconds of one core
# Threads that run at a time: two workers of one thread against one worker, at least. Measured are 1.7 to 2.3.
SCALES = 1.4
# Flags by which a server replaces its workers.
RECYCLE = {
    "gunicorn": "--max-requests 40",
    "uvicorn": "--limit-max-requests 40",
    "hypercorn": "--max-requests 40",
    # Every worker is over 1 MiB, so it is replaced. Granian's shortest lifetime is 60 s, too long here.
    "granian": "--workers-max-rss 1 --rss-sample-interval 1 --respawn-interval 0.5",
}


def measure_burn(server: SingleServer) -> tuple[float, float]:
    """Sends CPU-bound requests on new connections: requests a second, and threads running at a time.

    A thread that waits for a core counts as running. So the second figure does not depend on the machine's other load.
    """
    before, began = server.read_processes(), time.monotonic()
    answers = send_gets(server.target, BURN, 16, keep_alive=False, seconds=SECONDS)
    took = max(answer.done for answer in answers) - began
    after = server.read_processes()
    assert {answer.status for answer in answers} == {200}
    return len(answers) / took, (sum_runnable(after) - sum_runnable(before)) / took


def sum_runnable(processes: ServerProcesses) -> float:
    """The seconds in which all the processes ran or waited for a core."""
    return sum(process.runnable for process in processes.all)


def compare(first: SingleServer, second: SingleServer) -> dict[str, Any]:
    """How much more CPU-bound work the second server does than the first, in rounds that take turns."""
    rounds = [(measure_burn(first), measure_burn(second)) for _ in range(ROUNDS)]
    ratios = [second_burn[0] / first_burn[0] for first_burn, second_burn in rounds]
    before, after = ([burns[which] for burns in rounds] for which in (0, 1))
    return {
        "requests/s": [round(median(rate for rate, _ in side)) for side in (before, after)],
        "ratio": round(median(ratios), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "at a time": [round(median(threads for _, threads in side), 2) for side in (before, after)],
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_cpu_bound_work_scales_with_workers(servers: SingleServers, finding: Finding) -> None:
    finding["cores"] = os.cpu_count()
    pairs = [
        tuple(servers.start(server, interface, WORKERS=number, THREADS="1") for number in "12")
        for server, interface in find_servers_with_workers()
    ]
    try:
        for with_one, with_two in pairs:
            with_one.wait_for_workers()
            with_two.wait_for_workers()
        for with_one, with_two in pairs:
            finding.setdefault("cpu", {})[with_one.name] = compare(with_one, with_two)
    finally:
        servers.remove(*(single for pair in pairs for single in pair))


@pytest.mark.long
def test_cpu_bound_work_does_not_scale_with_threads(servers: SingleServers, finding: Finding) -> None:
    with_one, with_eight = (servers.start("gunicorn", "wsgi", WORKERS="1", THREADS=number) for number in ("1", "8"))
    try:
        with_one.wait_for_workers()
        with_eight.wait_for_workers()
        finding["cpu by threads"] = compare(with_one, with_eight)
    finally:
        servers.remove(with_one, with_eight)


@pytest.mark.long
def test_waiting_requests_share_a_worker(servers: SingleServers, finding: Finding) -> None:
    started = [servers.start(server, interface, WORKERS="1") for server, interface in serve.pairs()]
    try:
        for single in started:
            single.wait_for_workers()
        finding["io"] = dict(measure_side_by_side(measure_waiting, started, 3))
    finally:
        servers.remove(*started)


def measure_waiting(server: SingleServer) -> tuple[str, float]:
    """How many waiting requests the server has at a time: 32 requests of 16 clients, compared with two of one."""
    times = []
    for clients in (1, 16):
        began = time.monotonic()
        answers = send_gets(server.target, "/wait/200", clients, keep_alive=True, requests=2 * clients)
        assert {answer.status for answer in answers} == {200}
        times.append((time.monotonic() - began) / len(answers))
    return server.name, round(times[0] / times[1], 1)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_blocked_worker_does_not_take_others_along(servers: SingleServers, finding: Finding) -> None:
    started = [servers.start(server, interface, WORKERS="2") for server, interface in find_servers_with_workers()]
    try:
        for single in started:
            single.wait_for_workers()
        finding["blocked"] = dict(measure_side_by_side(lambda single: asyncio.run(measure_blocked(single)), started, 2))
    finally:
        servers.remove(*started)


async def measure_blocked(server: SingleServer) -> tuple[str, dict[str, Any]]:
    """How many of 16 new connections and of 8 kept connections are answered while one request burns CPU."""
    target = server.target
    kept = [Connection(target) for _ in range(8)]
    before = await asyncio.gather(*(connection.get("/process") for connection in kept))
    assert all(answer.pid for answer in before)
    still_open = [connection for connection in kept if connection.open]
    burning = await Connection(target).connect()
    await burning.send(LONG_BURN, close=True)
    await asyncio.sleep(0.3)  # not for readiness: the worker must be inside the request
    burned, new, old = await asyncio.gather(
        burning.read(120),
        asyncio.gather(*(get_once(target, "/process", 120) for _ in range(16))),
        asyncio.gather(*(connection.get("/process", patience=120) for connection in still_open)),
    )
    burning.end()
    for connection in kept:
        connection.end()
    assert burned.status == 200
    assert {answer.status for answer in (*new, *old)} <= {200}, "late, but answered"
    return server.name, {
        "new in time": sum(answer.done < burned.done for answer in new),
        "new": len(new),
        "kept in time": sum(answer.done < burned.done for answer in old),
        "kept": len(old),
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_killed_worker_does_not_take_others_along(servers: SingleServers, finding: Finding) -> None:
    started = [
        servers.start(*pair, WORKERS="2", restart="unless-stopped") for pair in find_servers_whose_workers_accept()
    ]
    try:
        for single in started:
            single.wait_for_workers()
        finding["killed"] = dict(
            measure_side_by_side(lambda single: (single.name, asyncio.run(measure_killed(single))), started, 4)
        )
    finally:
        servers.remove(*started)


async def measure_killed(server: SingleServer) -> dict[str, Any]:
    """Kills one worker while both have requests: how many requests are lost, and whether the worker is replaced."""
    target, began = server.target, time.time()
    connections = [await Connection(target).connect() for _ in range(4 if server.server == "gunicorn-sync" else 16)]
    for connection in connections:
        await connection.send("/wait/4000", close=True)
    before = await asyncio.to_thread(server.read_processes)
    victim = max(before.workers, key=lambda worker: worker.connections)
    assert victim.connections, "no request was in flight on the worker"
    reading = asyncio.gather(*(connection.read(30) for connection in connections), return_exceptions=True)
    await asyncio.to_thread(server.kill, victim.pid, "KILL")
    after = await reading
    for connection in connections:
        connection.end()
    lost = sum(isinstance(answer, BaseException) or answer.status != 200 for answer in after)
    await asyncio.to_thread(server.wait_for_workers)
    exit_codes = await asyncio.to_thread(read_exit_codes, server.container, began)
    pids = (await asyncio.to_thread(server.read_processes)).pids
    if not exit_codes:
        assert victim.pid not in pids, "the worker was not killed"
    return {
        "in flight": len(connections),
        "on the killed": victim.connections,
        "lost": lost,
        "lost on others": max(0, lost - victim.connections),
        "replaced": not exit_codes and len(pids) == 2,
        "container exits": exit_codes,
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_recycled_worker_loses_no_request(servers: SingleServers, finding: Finding) -> None:
    started = [
        servers.start(server, interface, flags=RECYCLE[server.split("-")[0]], WORKERS="2")
        for server, interface in find_servers_whose_workers_accept()
        if server.split("-")[0] in RECYCLE
    ]
    try:
        finding["recycled"] = dict(measure_side_by_side(measure_recycled, started, 5))
    finally:
        servers.remove(*started)


def measure_recycled(server: SingleServer) -> tuple[str, dict[str, Any]]:
    """Sends requests until three workers are replaced: how many are lost, on new connections and on kept ones."""
    server.wait_for_workers()
    answers: dict[str, list[Answer]] = {"new": [], "kept": []}
    pids: set[int] = set()
    until = time.monotonic() + 60
    while len(pids) < 5 and time.monotonic() < until:  # two workers, and three that took their place
        new, kept = asyncio.run(send_on_new_and_kept(server.target))
        answers["new"] += new
        answers["kept"] += kept
        pids |= {answer.pid for answer in (*new, *kept) if answer.pid}
    assert len(pids) >= 5, f"{server.name}: hardly anything was recycled"
    assert server.state() == "running"
    lost = {
        name: {"asked": len(kind_answers), "lost": sum(answer.status != 200 for answer in kind_answers)}
        for name, kind_answers in answers.items()
    }
    return server.name, lost | {"pids": len(pids)}


async def send_on_new_and_kept(target: Target) -> tuple[list[Answer], list[Answer]]:
    """Sends requests on new connections and on kept connections, at the same time."""
    runs = (run_clients(target, "/process", 2, keep_alive, 100, pause=0.02) for keep_alive in (False, True))
    new, kept = await asyncio.gather(*runs)
    return new, kept


def conclude(finding: Finding) -> Conclusion:
    """Never was, if CPU-bound work does not scale; with a limit, if a worker affects others or does not scale."""
    scaling = find_scaling(finding)
    affecting = bool(find_falling(finding["killed"]) or find_delaying(finding["blocked"]))
    verdict: Verdict
    if finding["cores"] >= 2 and not scaling:
        verdict = "never was"
    else:
        verdict = "holds with a limit" if affecting or len(scaling) < len(finding["cpu"]) else "holds"
    tables = (make_scaling_table(finding["cpu"], finding["io"]), make_faults_table(finding))
    return Conclusion(verdict, write_evidence(finding), tables)


def find_scaling(finding: Finding) -> list[str]:
    """The servers where two workers run enough threads at a time."""
    return [name for name, row in finding["cpu"].items() if row["at a time"][1] / row["at a time"][0] >= SCALES]


def find_falling(killed: dict[str, Any]) -> list[str]:
    """The servers where a killed worker costs requests of others, or is not replaced."""
    return [name for name, row in killed.items() if row["lost on others"] or not row["replaced"]]


def find_delaying(blocked: dict[str, Any]) -> list[str]:
    """The servers where a blocked worker delays new connections."""
    return [name for name, row in blocked.items() if row["new in time"] < row["new"]]


def write_evidence(finding: Finding) -> str:
    """How work scales, and what a worker does to the others."""
    cpu, io, blocked = finding["cpu"], finding["io"], finding["blocked"]
    ratios = sorted(row["ratio"] for row in cpu.values())
    threads = [row["at a time"][1] for row in cpu.values()]
    delaying_kept = [name for name, row in blocked.items() if row["kept in time"] < row["kept"]]
    evidence = (
        f"On {finding['cores']} cores two workers do {ratios[0]} to {ratios[-1]} times the CPU-bound work of one, with "
        f"{min(threads):.1f} to {max(threads):.1f} threads running at a time; eight threads instead of one do "
        f"{finding['cpu by threads']['ratio']} times. One worker has {io['gunicorn wsgi']} waiting "
        f"requests at a time with 8 threads (gunicorn), {io['uvicorn asgi']} of 16 on an event loop (uvicorn), "
        f"{io['gunicorn-sync wsgi']} without either. A killed worker takes the others with it on "
        f"{' and '.join(find_falling(finding['killed'])) or 'no server'}; a blocked one delays new connections on "
        f"{' and '.join(find_delaying(blocked)) or 'none'}, and those it keeps on {len(delaying_kept)} of "
        f"{len(blocked)}."
    )
    return evidence + (" With one core nothing can be said about scaling." if finding["cores"] < 2 else "")


def make_scaling_table(cpu: dict[str, Any], io: dict[str, Any]) -> Table:
    """CPU-bound work by two workers and one, and waiting requests, by server."""
    columns = [
        "server",
        "CPU-bound, 2 workers : 1",
        "rounds",
        "threads running, 1 and 2",
        "waiting requests at a time, 1 worker",
    ]
    rows = [
        [
            f"`{name}`",
            f"{cpu[name]['ratio']}" if name in cpu else "–",
            f"{cpu[name]['spread'][0]} to {cpu[name]['spread'][1]}" if name in cpu else "–",
            " and ".join(map(str, cpu[name]["at a time"])) if name in cpu else "–",
            str(io[name]),
        ]
        for name in io
    ]
    return Table(
        "Scaling",
        columns,
        rows,
        f"Medians of {ROUNDS} rounds that take turns; `{BURN}` from 16 clients on new connections. Running: or waiting "
        "for a core that a neighbour has, by the kernel's count. `/wait/200` from 16 "
        "clients over the same from one; THREADS=8.",
    )


def make_faults_table(finding: Finding) -> Table:
    """What a blocked, a killed and a recycled worker does, by server."""
    recycled = finding["recycled"]
    dropping = [name for name, row in recycled.items() if row["new"]["lost"] or row["kept"]["lost"]]
    columns = [
        "server",
        "blocked: new answered",
        "kept answered",
        "killed: its own / lost",
        "then",
        "recycled: lost new, kept",
    ]
    rows = [
        [
            f"`{name}`",
            *blocked_cells(finding["blocked"][name]),
            *killed_cells(killed),
            recycled_cell(recycled[name]) if name in recycled else "no flag for it",
        ]
        for name, killed in finding["killed"].items()
    ]
    return Table(
        "One worker of two",
        columns,
        rows,
        "mod_wsgi is not here: which of its workers has a request, its connections do not show. "
        f"Blocked by `{LONG_BURN}`: what was answered before it ended; the rest was late. Killed by SIGKILL with "
        f"requests in flight. Recycled by {', '.join(dict.fromkeys(RECYCLE.values()))}; {len(dropping)} servers then "
        "close connections that clients still use.",
    )


def blocked_cells(blocked: dict[str, Any]) -> list[str]:
    """How many new and kept connections were answered in time."""
    return [f"{blocked[f'{kind} in time']} of {blocked[kind]}" for kind in ("new", "kept")]


def killed_cells(killed: dict[str, Any]) -> list[str]:
    """The killed worker's own requests and all lost requests, and what the server did then."""
    lost = f"{killed['on the killed']} / {killed['lost']} of {killed['in flight']}"
    if killed["replaced"]:
        return [lost, "replaced"]
    return [lost, f"the server exits {', '.join(killed['container exits'])}; restarted"]


def recycled_cell(recycled: dict[str, Any]) -> str:
    """How many requests were lost on new and on kept connections."""
    return ", ".join(f"{recycled[kind]['lost']} of {recycled[kind]['asked']}" for kind in ("new", "kept"))
