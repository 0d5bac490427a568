"""C22: what workers do at the same time, and what one that is blocked, killed or replaced does to the others."""

import asyncio
import os
import time
from statistics import median
from typing import Any

import pytest

from tests import live
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, alone, load
from tests.claims.alone import Alone, Servers

CLAIM = Claim("C22", "Workers work independently and run requests in parallel")
ROUNDS = 3
SECONDS = 0.6
BURN = "/burn/20000"  # ten milliseconds or so of one core
LONG_BURN = "/burn/6000000"  # three seconds or so
SCALES = 1.4  # on two cores; measured are 1.7 to 2.0 and, with threads, 0.9 to 1.1
RECYCLE = {
    "gunicorn": "--max-requests 40",
    "uvicorn": "--limit-max-requests 40",
    "hypercorn": "--max-requests 40",
    # Every worker is over it; a lifetime would be 60 s at least.
    "granian": "--workers-max-rss 1 --rss-sample-interval 1 --respawn-interval 0.5",
}


def throughput(one: Alone) -> float:
    """CPU-bound requests a second, each on a new connection."""
    began = time.monotonic()
    answers = alone.ask(one.target, BURN, 8, keep_alive=False, seconds=SECONDS)
    assert {answer.status for answer in answers} == {200}
    return len(answers) / (max(answer.done for answer in answers) - began)


def compared(one: Alone, other: Alone) -> dict[str, Any]:
    """How much more of CPU-bound work `other` does than `one`, in rounds that take turns."""
    rounds = [(throughput(one), throughput(other)) for _ in range(ROUNDS)]
    before, after = zip(*rounds, strict=True)
    ratios = [second / first for first, second in rounds]
    return {
        "requests/s": [round(median(before)), round(median(after))],
        "ratio": round(median(after) / median(before), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "best": round(max(after) / max(before), 2),  # of each the round that neighbours disturbed least
    }


@pytest.mark.long
@pytest.mark.timeout(400)
def test_cpu_bound_work_scales_with_workers(servers: Servers, finding: Finding) -> None:
    finding["cores"] = os.cpu_count()
    pairs = [
        tuple(servers.start(server, interface, WORKERS=number) for number in "12")
        for server, interface in alone.with_workers()
    ]
    try:
        for one, two in pairs:
            one.ready(), two.ready()
        for one, two in pairs:
            finding.setdefault("cpu", {})[one.name] = compared(one, two)
    finally:
        servers.remove(*(one for pair in pairs for one in pair))


@pytest.mark.long
def test_cpu_bound_work_does_not_scale_with_threads(servers: Servers, finding: Finding) -> None:
    one, two = (servers.start("gunicorn", "wsgi", WORKERS="1", THREADS=number) for number in ("1", "8"))
    try:
        one.ready(), two.ready()
        finding["cpu by threads"] = compared(one, two)
    finally:
        servers.remove(one, two)


@pytest.mark.long
def test_waiting_requests_share_a_worker(servers: Servers, finding: Finding) -> None:
    ones = [servers.start(server, interface, WORKERS="1") for server, interface in live.pairs()]
    try:
        for one in ones:
            one.ready()
        finding["io"] = dict(alone.at_once(waiting, ones, 3))
    finally:
        servers.remove(*ones)


def waiting(one: Alone) -> tuple[str, float]:
    """How many requests that only wait it has at a time: 32 of them from 16 clients, over two from one."""
    times = []
    for clients in (1, 16):
        began = time.monotonic()
        answers = alone.ask(one.target, "/wait/200", clients, keep_alive=True, requests=2 * clients)
        assert {answer.status for answer in answers} == {200}
        times.append((time.monotonic() - began) / len(answers))
    return one.name, round(times[0] / times[1], 1)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_blocked_worker_does_not_take_others_along(servers: Servers, finding: Finding) -> None:
    ones = [servers.start(server, interface, WORKERS="2") for server, interface in alone.with_workers()]
    try:
        for one in ones:
            one.ready()
        finding["blocked"] = dict(alone.at_once(lambda one: asyncio.run(blocked(one)), ones, 2))
    finally:
        servers.remove(*ones)


async def blocked(one: Alone) -> tuple[str, dict[str, Any]]:
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
def test_a_killed_worker_does_not_take_others_along(servers: Servers, finding: Finding) -> None:
    ones = [servers.start(*pair, WORKERS="2", restart="unless-stopped") for pair in alone.with_workers()]
    try:
        for one in ones:
            one.ready()
        finding["killed"] = dict(alone.at_once(lambda one: (one.name, asyncio.run(killed(one))), ones, 4))
    finally:
        servers.remove(*ones)


async def killed(one: Alone) -> dict[str, Any]:
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
    died = live.docker(
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
def test_a_recycled_worker_loses_no_request(servers: Servers, finding: Finding) -> None:
    ones = [
        servers.start(server, interface, flags=RECYCLE[server.split("-")[0]], WORKERS="2")
        for server, interface in alone.with_workers()
    ]
    try:
        finding["recycled"] = dict(alone.at_once(recycled, ones, 3))
    finally:
        servers.remove(*ones)


def recycled(one: Alone) -> tuple[str, dict[str, Any]]:
    """Requests for some seconds while workers are replaced: how many are lost, on new connections and on kept ones."""
    one.ready()
    found: dict[str, Any] = {}
    pids: set[int] = set()
    for name, keep_alive in (("new", False), ("kept", True)):
        answers: list[load.Answer] = []
        until = time.monotonic() + 60
        here: set[int] = set()
        while len(here) < 4 and time.monotonic() < until:  # two workers, and two that took their place
            answers += alone.ask(one.target, "/process", 4, keep_alive, requests=200, pause=0.01)
            here |= {answer.pid for answer in answers if answer.pid}
        assert len(here) >= 4, f"{one.name}: nothing was recycled"
        pids |= here
        found[name] = {"asked": len(answers), "lost": sum(answer.status != 200 for answer in answers)}
    return one.name, found | {"pids": len(pids), "state": one.state()}


def conclude(found: Finding) -> Conclusion:
    """Never was, if work for the CPU does not scale; with a limit, if a worker takes others or what they have along."""
    cpu, blocked_ones, killed_ones = found["cpu"], found["blocked"], found["killed"]
    recycled_ones = found["recycled"]
    scaling = [name for name, one in cpu.items() if one["best"] >= SCALES]
    fell = [name for name, one in killed_ones.items() if one["lost on others"] or not one["replaced"]]
    held_up = [name for name, one in blocked_ones.items() if one["new in time"] < one["new"]]
    dropping = [name for name, one in recycled_ones.items() if one["new"]["lost"] or one["kept"]["lost"]]
    verdict: Verdict
    if found["cores"] >= 2 and not scaling:
        verdict = "never was"
    else:
        verdict = "holds with a limit" if fell or held_up or len(scaling) < len(cpu) else "holds"
    ratios = sorted(one["ratio"] for one in cpu.values())
    io = found["io"]
    evidence = (
        f"On {found['cores']} cores a second worker does {ratios[0]} to {ratios[-1]} times the CPU-bound work of one "
        f"(eight threads instead of one: {found['cpu by threads']['ratio']}). One worker has {io['gunicorn wsgi']} "
        f"waiting requests at a time with 8 threads (gunicorn), {io['uvicorn asgi']} of 16 on an event loop (uvicorn), "
        f"{io['gunicorn-sync wsgi']} without either. A killed worker takes the others with it on "
        f"{' and '.join(fell) or 'no server'}; a blocked one delays new connections on "
        f"{' and '.join(held_up) or 'none'}."
    )
    if found["cores"] < 2:
        evidence += " With one core nothing can be said about scaling."
    scale = Table(
        "Scaling",
        ["server", "CPU-bound, 2 workers : 1", "rounds", "waiting requests at a time, 1 worker"],
        [
            [
                f"`{name}`",
                f"{cpu[name]['ratio']}" if name in cpu else "–",
                f"{cpu[name]['spread'][0]} to {cpu[name]['spread'][1]}" if name in cpu else "–",
                str(io[name]),
            ]
            for name in io
        ],
        f"Medians of {ROUNDS} rounds that take turns; `{BURN}` from 8 clients on new connections. `/wait/200` from 16 "
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
                f"{recycled_ones[name]['new']['lost']} of {recycled_ones[name]['new']['asked']}, "
                f"{recycled_ones[name]['kept']['lost']} of {recycled_ones[name]['kept']['asked']}",
            ]
            for name, one in killed_ones.items()
        ],
        f"Blocked by `{LONG_BURN}`: what was answered before it ended; the rest was late. Killed by SIGKILL with "
        f"requests in flight. Recycled by {', '.join(sorted(set(RECYCLE.values())))}. {len(dropping)} servers close kept "
        "connections unannounced when a worker ends.",
    )
    return Conclusion(verdict, evidence, (scale, faults))
