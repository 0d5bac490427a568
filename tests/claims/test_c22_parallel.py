"""C22: what workers do at the same time, and what one that is blocked, killed or replaced does to the others."""

import asyncio
import os
import time
from statistics import median
from typing import Any

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, load, single_server
from tests.claims.single_server import SingleServer, SingleServers
from tests.support.engine import docker

CLAIM = Claim("C22", "Workers work independently and run requests in parallel")
ROUNDS = 3
SECONDS = 0.6
BURN = "/burn/20000"  # ten milliseconds or so of one core
LONG_BURN = "/burn/6000000"  # three seconds or so
SCALES = 1.4  # threads that run at a time, of two workers of one thread against one: measured are 1.7 to 2.3
RECYCLE = {
    "gunicorn": "--max-requests 40",
    "uvicorn": "--limit-max-requests 40",
    "hypercorn": "--max-requests 40",
    # Every worker is over it; a lifetime would be 60 s at least.
    "granian": "--workers-max-rss 1 --rss-sample-interval 1 --respawn-interval 0.5",
}


def burn(one: SingleServer) -> tuple[float, float]:
    """CPU-bound requests a second, each on a new connection; and how many threads ran, or waited for a core, at a time.

    The second figure is what the server does of itself, whatever else the machine does.
    """
    before, began = one.look(), time.monotonic()
    answers = single_server.ask(one.target, BURN, 16, keep_alive=False, seconds=SECONDS)
    took = max(answer.done for answer in answers) - began
    after = one.look()
    assert {answer.status for answer in answers} == {200}
    return len(answers) / took, (runnable(after) - runnable(before)) / took


def runnable(family: single_server.Family) -> float:
    """The seconds that all its processes ran or waited for a core."""
    return sum(process.runnable for process in [family.main, *family.workers] if process)


def compared(one: SingleServer, other: SingleServer) -> dict[str, Any]:
    """How much more of CPU-bound work `other` does than `one`, in rounds that take turns."""
    rounds = [(burn(one), burn(other)) for _ in range(ROUNDS)]
    ratios = [second[0] / first[0] for first, second in rounds]
    before, after = ([turn[which] for turn in rounds] for which in (0, 1))
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
        for server, interface in single_server.with_workers()
    ]
    try:
        for one, two in pairs:
            one.ready(), two.ready()
        for one, two in pairs:
            finding.setdefault("cpu", {})[one.name] = compared(one, two)
    finally:
        servers.remove(*(one for pair in pairs for one in pair))


@pytest.mark.long
def test_cpu_bound_work_does_not_scale_with_threads(servers: SingleServers, finding: Finding) -> None:
    one, two = (servers.start("gunicorn", "wsgi", WORKERS="1", THREADS=number) for number in ("1", "8"))
    try:
        one.ready(), two.ready()
        finding["cpu by threads"] = compared(one, two)
    finally:
        servers.remove(one, two)


@pytest.mark.long
def test_waiting_requests_share_a_worker(servers: SingleServers, finding: Finding) -> None:
    ones = [servers.start(server, interface, WORKERS="1") for server, interface in serve.pairs()]
    try:
        for one in ones:
            one.ready()
        finding["io"] = dict(single_server.at_once(waiting, ones, 3))
    finally:
        servers.remove(*ones)


def waiting(one: SingleServer) -> tuple[str, float]:
    """How many requests that only wait it has at a time: 32 of them from 16 clients, over two from one."""
    times = []
    for clients in (1, 16):
        began = time.monotonic()
        answers = single_server.ask(one.target, "/wait/200", clients, keep_alive=True, requests=2 * clients)
        assert {answer.status for answer in answers} == {200}
        times.append((time.monotonic() - began) / len(answers))
    return one.name, round(times[0] / times[1], 1)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_blocked_worker_does_not_take_others_along(servers: SingleServers, finding: Finding) -> None:
    ones = [servers.start(server, interface, WORKERS="2") for server, interface in single_server.with_workers()]
    try:
        for one in ones:
            one.ready()
        finding["blocked"] = dict(single_server.at_once(lambda one: asyncio.run(blocked(one)), ones, 2))
    finally:
        servers.remove(*ones)


async def blocked(one: SingleServer) -> tuple[str, dict[str, Any]]:
    """While one request burns: how many of 16 new connections and of 8 kept ones are answered."""
    target = one.target
    kept = [load.Connection(target) for _ in range(8)]
    before = await asyncio.gather(*(connection.get("/process") for connection in kept))
    assert all(answer.pid for answer in before)
    open_ones = [connection for connection in kept if connection.open]
    burning = await load.Connection(target).connect()
    await burning.send(LONG_BURN, close=True)
    await asyncio.sleep(0.3)  # not readiness: so that the worker is inside it
    burn, new, old = await asyncio.gather(
        burning.read(120),
        asyncio.gather(*(load.once(target, "/process", 120) for _ in range(16))),
        asyncio.gather(*(connection.get("/process", patience=120) for connection in open_ones)),
    )
    burning.end()
    for connection in kept:
        connection.end()
    assert burn.status == 200
    assert {answer.status for answer in (*new, *old)} <= {200}, "late, but answered"
    return one.name, {
        "new in time": sum(answer.done < burn.done for answer in new),
        "new": len(new),
        "kept in time": sum(answer.done < burn.done for answer in old),
        "kept": len(old),
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_killed_worker_does_not_take_others_along(servers: SingleServers, finding: Finding) -> None:
    ones = [servers.start(*pair, WORKERS="2", restart="unless-stopped") for pair in single_server.accepting()]
    try:
        for one in ones:
            one.ready()
        finding["killed"] = dict(single_server.at_once(lambda one: (one.name, asyncio.run(killed(one))), ones, 4))
    finally:
        servers.remove(*ones)


async def killed(one: SingleServer) -> dict[str, Any]:
    """Requests in flight on both workers; one is killed; who loses what, and what comes back."""
    target, began = one.target, int(time.time())
    connections = [await load.Connection(target).connect() for _ in range(4 if one.server == "gunicorn-sync" else 16)]
    for connection in connections:
        await connection.send("/wait/4000", close=True)
    before = await asyncio.to_thread(one.look)
    victim = max(before.workers, key=lambda worker: worker.connections)
    assert victim.connections, "nothing was in flight on it"
    reading = asyncio.gather(*(connection.read(30) for connection in connections), return_exceptions=True)
    await asyncio.to_thread(one.kill, victim.pid, "KILL")
    after = await reading
    for connection in connections:
        connection.end()
    lost = sum(isinstance(answer, BaseException) or answer.status != 200 for answer in after)
    await asyncio.to_thread(one.ready)
    died = docker(
        *("events", "--since", str(began), "--until", str(int(time.time()) + 1), "--filter", "event=die"),
        *("--filter", f"container={one.container}", "--format", "{{.Actor.Attributes.exitCode}}"),
    )
    pids = (await asyncio.to_thread(one.look)).pids
    if not died:
        assert victim.pid not in pids, "it was not killed"
    return {
        "in flight": len(connections),
        "on the killed": victim.connections,
        "lost": lost,
        "lost on others": max(0, lost - victim.connections),
        "replaced": not died and len(pids) == 2,
        "container exits": died.split(),
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_recycled_worker_loses_no_request(servers: SingleServers, finding: Finding) -> None:
    ones = [
        servers.start(server, interface, flags=RECYCLE[server.split("-")[0]], WORKERS="2")
        for server, interface in single_server.accepting()
        if server.split("-")[0] in RECYCLE
    ]
    try:
        finding["recycled"] = dict(single_server.at_once(recycled, ones, 5))
    finally:
        servers.remove(*ones)


def recycled(one: SingleServer) -> tuple[str, dict[str, Any]]:
    """Requests for some seconds while workers are replaced: how many are lost, on new connections and on kept ones."""
    one.ready()
    answers: dict[str, list[load.Answer]] = {"new": [], "kept": []}
    pids: set[int] = set()
    until = time.monotonic() + 60
    while len(pids) < 5 and time.monotonic() < until:  # two workers, and more that took their place
        new, kept = asyncio.run(both(one.target))
        answers["new"] += new
        answers["kept"] += kept
        pids |= {answer.pid for answer in (*new, *kept) if answer.pid}
    assert len(pids) >= 5, f"{one.name}: hardly anything was recycled"
    assert one.state() == "running"
    lost = {
        name: {"asked": len(some), "lost": sum(answer.status != 200 for answer in some)}
        for name, some in answers.items()
    }
    return one.name, lost | {"pids": len(pids)}


async def both(target: load.Target) -> tuple[list[load.Answer], list[load.Answer]]:
    """Requests on new connections and on kept ones, at the same time."""
    runs = (load.run(target, "/process", 2, keep_alive, 100, pause=0.02) for keep_alive in (False, True))
    new, kept = await asyncio.gather(*runs)
    return new, kept


def lost(recycled_ones: dict[str, Any], name: str) -> list[dict[str, int]]:
    """What a server lost on new connections and on kept ones; nothing where it cannot recycle."""
    return [recycled_ones[name][kind] for kind in ("new", "kept")] if name in recycled_ones else []


def conclude(found: Finding) -> Conclusion:
    """Never was, if work for the CPU does not scale; with a limit, if a worker takes others or what they have along."""
    cpu, blocked_ones, killed_ones = found["cpu"], found["blocked"], found["killed"]
    recycled_ones = found["recycled"]
    scaling = [name for name, one in cpu.items() if one["at a time"][1] / one["at a time"][0] >= SCALES]
    fell = [name for name, one in killed_ones.items() if one["lost on others"] or not one["replaced"]]
    held_up = [name for name, one in blocked_ones.items() if one["new in time"] < one["new"]]
    dropping = [name for name, one in recycled_ones.items() if one["new"]["lost"] or one["kept"]["lost"]]
    verdict: Verdict
    if found["cores"] >= 2 and not scaling:
        verdict = "never was"
    else:
        verdict = "holds with a limit" if fell or held_up or len(scaling) < len(cpu) else "holds"
    ratios = sorted(one["ratio"] for one in cpu.values())
    pairs = [one["at a time"][1] for one in cpu.values()]
    threads, io = found["cpu by threads"], found["io"]
    waiting_too = [name for name, one in blocked_ones.items() if one["kept in time"] < one["kept"]]
    evidence = (
        f"On {found['cores']} cores two workers do {ratios[0]} to {ratios[-1]} times the CPU-bound work of one, with "
        f"{min(pairs):.1f} to {max(pairs):.1f} threads running at a time; eight threads instead of one do "
        f"{threads['ratio']} times. One worker has {io['gunicorn wsgi']} waiting "
        f"requests at a time with 8 threads (gunicorn), {io['uvicorn asgi']} of 16 on an event loop (uvicorn), "
        f"{io['gunicorn-sync wsgi']} without either. A killed worker takes the others with it on "
        f"{' and '.join(fell) or 'no server'}; a blocked one delays new connections on "
        f"{' and '.join(held_up) or 'none'}, and those it keeps on {len(waiting_too)} of {len(blocked_ones)}."
    )
    if found["cores"] < 2:
        evidence += " With one core nothing can be said about scaling."
    scale = Table(
        "Scaling",
        [
            "server",
            "CPU-bound, 2 workers : 1",
            "rounds",
            "threads running, 1 and 2",
            "waiting requests at a time, 1 worker",
        ],
        [
            [
                f"`{name}`",
                f"{cpu[name]['ratio']}" if name in cpu else "–",
                f"{cpu[name]['spread'][0]} to {cpu[name]['spread'][1]}" if name in cpu else "–",
                " and ".join(map(str, cpu[name]["at a time"])) if name in cpu else "–",
                str(io[name]),
            ]
            for name in io
        ],
        f"Medians of {ROUNDS} rounds that take turns; `{BURN}` from 16 clients on new connections. Running: or waiting "
        "for a core that a neighbour has, by the kernel's count. `/wait/200` from 16 "
        "clients over the same from one; THREADS=8.",
    )
    faults = Table(
        "One worker of two",
        [
            "server",
            "blocked: new answered",
            "kept answered",
            "killed: its own / lost",
            "then",
            "recycled: lost new, kept",
        ],
        [
            [
                f"`{name}`",
                f"{blocked_ones[name]['new in time']} of {blocked_ones[name]['new']}",
                f"{blocked_ones[name]['kept in time']} of {blocked_ones[name]['kept']}",
                f"{one['on the killed']} / {one['lost']} of {one['in flight']}",
                "replaced" if one["replaced"] else f"the server exits {', '.join(one['container exits'])}; restarted",
                ", ".join(f"{one['lost']} of {one['asked']}" for one in lost(recycled_ones, name)) or "no flag for it",
            ]
            for name, one in killed_ones.items()
        ],
        "mod_wsgi is not here: which of its workers has a request, its connections do not show. "
        f"Blocked by `{LONG_BURN}`: what was answered before it ended; the rest was late. Killed by SIGKILL with "
        f"requests in flight. Recycled by {', '.join(dict.fromkeys(RECYCLE.values()))}; {len(dropping)} servers then "
        "close connections that clients still use.",
    )
    return Conclusion(verdict, evidence, (scale, faults))
