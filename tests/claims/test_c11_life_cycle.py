"""C11: how does a server start and stop the application, and what does each signal do?"""

import threading
import time
from collections import Counter
from typing import Any

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.http_client import Answer, send_gets
from tests.claims.support.processes import ServerProcesses
from tests.claims.support.server_starter import APPS, SETTINGS, SingleServers
from tests.claims.support.single_server import SingleServer, measure_side_by_side

CLAIM = Claim(
    "C11",
    "The application server manages the application's life cycle: start, run, stop",
    also=("test_sigterm_lets_the_request_in_flight_finish",),
)
SIGNALS = ("TTIN", "TTOU", "HUP", "QUIT", "TERM")
GRACE = 20  # as server_starter.SETTINGS says: after that a server may kill its workers
# Seconds without a change until the outcome counts as final. Granian replaces one worker every 3.5 s.
PATIENCE = {"TTIN": 5, "TTOU": 5, "HUP": 10, "QUIT": GRACE + 8, "TERM": GRACE + 8}
WORKERS = 2  # as server_starter.SETTINGS says


def count_events(server: SingleServer) -> dict[str, int]:
    """By event: how many processes logged it. The application logs an event once a process."""
    lines = [line.split() for line in server.logs().splitlines() if line.startswith("life: ")]
    counts = Counter(line[1] for line in lines)
    pids = {event: len({line[2] for line in lines if line[1] == event}) for event in counts}
    assert counts == Counter(pids), f"{server.name}: a process logged an event twice: {lines}"
    return dict(counts)


@pytest.mark.long
def test_start_and_stop_reach_the_application(servers: SingleServers, finding: Finding) -> None:
    started = [
        servers.start(server, interface, APPS / interface / "life_cycle.py") for server, interface in serve.pairs()
    ]
    try:
        finding["lives"] = dict(measure_side_by_side(measure_life, started))
    finally:
        servers.remove(*started)


def measure_life(server: SingleServer) -> tuple[str, dict[str, Any]]:
    """Waits for a server's workers and stops it as Docker does: the events that the application logged."""
    server.wait_for_workers()
    began = time.monotonic()
    server.stop(30)
    took = time.monotonic() - began
    events = count_events(server)
    assert events["import"] >= server.workers, "the application was not there"
    return server.name, {
        "workers": server.workers,
        "events": events,
        "state": server.state(),
        "seconds": round(took, 1),
    }


@pytest.mark.long
@pytest.mark.timeout(500)
def test_what_each_signal_does(servers: SingleServers, finding: Finding) -> None:
    started = [servers.start(server, interface) for server, interface in serve.pairs()]
    try:
        finding["signals"] = dict(measure_side_by_side(lambda server: measure_signals(servers, server), started, 4))
    finally:
        servers.remove_all()


def measure_signals(servers: SingleServers, server: SingleServer) -> tuple[str, dict[str, Any]]:
    """Sends each signal in turn to the main process. A server that a signal has changed is replaced before the next."""
    effects: dict[str, Any] = {}
    for name in SIGNALS:
        server.wait_for_workers()
        before = server.list_processes()
        assert len(before.pids) == server.workers
        effects[name] = measure_effect(server, name, before)
        if effects[name]["what"] != "ignored":
            servers.remove(server)
            server = servers.start(server.server, server.interface)
    servers.remove(server)
    return server.name, effects


def measure_effect(server: SingleServer, name: str, before: ServerProcesses) -> dict[str, Any]:
    """What one signal does. For HUP also how many requests clients lose meanwhile."""
    answers: list[Answer] = []
    finished = threading.Event()
    clients = []
    if name == "HUP":
        target = server.target

        def send_until_finished(keep_alive: bool) -> None:
            while not finished.is_set():
                answers.extend(send_gets(target, "/process", 2, keep_alive, seconds=1, pause=0.03))

        clients = [threading.Thread(target=send_until_finished, args=(keep,), daemon=True) for keep in (True, False)]
        for client in clients:
            client.start()
    main = server.read_processes().main
    assert main
    server.kill(main.pid, name)
    result = wait_for_outcome(server, before, PATIENCE.get(name, 8))
    finished.set()
    for client in clients:
        client.join(30)
    lost = sum(answer.status != 200 for answer in answers)
    return {"what": result} | ({"asked": len(answers), "lost": lost} if name == "HUP" else {})


def wait_for_outcome(server: SingleServer, before: ServerProcesses, patience: float) -> str:
    """Describes the processes, as soon as they have not changed for `patience` seconds.

    Two outcomes are final earlier: every worker is new, and the main process is suspended.
    """
    old, began = set(before.pids), time.monotonic()
    last, since = "ignored", began
    while time.monotonic() - began < 60:
        now, clock = describe_processes(server, old), time.monotonic()
        if now != last:
            last, since = now, clock
        if last.startswith("exits"):
            return last + (f" after {clock - began:.0f} s" if clock - began > GRACE * 0.9 else "")
        if clock - since > (2 if last in ("every worker new", "the main process is suspended") else patience):
            return last
        time.sleep(0.3)
    raise AssertionError(f"{server.name} does not stop changing: {last}")


def describe_processes(server: SingleServer, old: set[int]) -> str:
    """What has changed: the processes now, compared with the pids before."""
    state = server.state()
    if state != "running":
        return state.replace("exited", "exits")
    processes = server.list_processes()
    if processes.main and processes.main.state == "T":
        return "the main process is suspended"
    now = set(processes.pids) if processes.workers or server.workers == 1 else set()
    if now == old:
        return "ignored"
    if len(now) != len(old):
        return f"{len(old)} → {len(now)} workers"
    return "every worker new" if not now & old else f"{len(now - old)} of the {len(old)} workers new"


@pytest.mark.long
def test_dockers_init_keeps_ttin_from_the_server(servers: SingleServers, finding: Finding) -> None:
    with servers.serving("gunicorn", "wsgi", **SETTINGS) as server:
        server.wait_for_workers()
        server.send_signal("TTIN")
        finding["TTIN through init"] = wait_for_outcome(server, server.list_processes(), PATIENCE["TTIN"])
        before = server.list_processes()
        assert measure_effect(server, "TTIN", before)["what"] == "2 → 3 workers", (
            "sent to the main process, the signal arrives"
        )


def conclude(finding: Finding) -> Conclusion:
    """Holds if each ASGI worker hears of its start and its end once, on every server; with a limit if on some."""
    asgi = {name: life for name, life in finding["lives"].items() if name.endswith(" asgi")}
    complete = [name for name, life in asgi.items() if is_complete(life)]
    verdict: Verdict = "holds" if len(complete) == len(asgi) else "holds with a limit" if complete else "never was"
    return Conclusion(verdict, write_evidence(finding, asgi), (make_lives_table(finding), make_signals_table(finding)))


def count(life: dict[str, Any], event: str) -> int:
    """How many processes logged an event."""
    return int(life["events"].get(event, 0))


def is_complete(life: dict[str, Any]) -> bool:
    """Whether every worker had one lifespan start-up and one shutdown."""
    return count(life, "lifespan.startup") == count(life, "lifespan.shutdown") == life["workers"]


def write_evidence(finding: Finding, asgi: dict[str, Any]) -> str:
    """How many servers send the events, and what WSGI has in their place."""
    wsgi = {name: life for name, life in finding["lives"].items() if name not in asgi}
    complete = [name for name, life in asgi.items() if is_complete(life)]
    silent = [name for name, life in asgi.items() if not count(life, "lifespan.startup")]
    partial = [
        f"{name} {count(life, 'lifespan.startup')} starts and {count(life, 'lifespan.shutdown')} stops"
        for name, life in asgi.items()
        if name not in complete and name not in silent
    ]
    exits = sum(count(life, "exit") == life["workers"] for life in wsgi.values())
    signals: dict[str, Any] = finding["signals"]
    reloading = [name for name, effects in signals.items() if effects["HUP"]["what"] == "every worker new"]
    return (
        f"With {WORKERS} workers {len(complete)} of {len(asgi)} ASGI servers send each worker one lifespan start-up "
        "and one shutdown (Daphne itself sends none: its script does, with apps/runtime/daphne_lifespan.py)"
        + (f"; {' and '.join(silent)} sends none" if silent else "")
        + (f"; {', '.join(partial)}" if partial else "")
        + f". WSGI has no such events: an import per worker, and `atexit` in every worker on {exits} of {len(wsgi)}. "
        f"HUP replaces all workers on {len(reloading)} of {len(signals)} server scripts."
    )


def make_lives_table(finding: Finding) -> Table:
    """The events of each server, from start to stop."""
    rows = [
        [
            f"`{name}`",
            str(life["workers"]),
            str(count(life, "import")),
            str(count(life, "lifespan.startup")) if name.endswith(" asgi") else "–",
            str(count(life, "lifespan.shutdown")) if name.endswith(" asgi") else "–",
            str(count(life, "exit")),
            life["state"].replace("exited ", ""),
        ]
        for name, life in finding["lives"].items()
    ]
    return Table(
        "From start to stop",
        ["server", "workers", "imports", "start-ups", "shutdowns", "`atexit`", "exit code"],
        rows,
        "Stopped by `docker stop` (SIGTERM). A shutdown takes up to 4 s, not as long in each worker, and is "
        "counted at its end: a server that ends all workers with its first loses the others'.",
    )


def make_signals_table(finding: Finding) -> Table:
    """What each signal does, by server."""
    signals = finding["signals"]
    return Table(
        "Signals",
        ["server", *SIGNALS],
        [[f"`{name}`", *(signal_cell(effects[signal]) for signal in SIGNALS)] for name, effects in signals.items()],
        f"Sent to the main process of a server with {WORKERS} workers, where it has workers. "
        "Lost: of requests asked while the workers were replaced. Docker's init, which the stack uses, does "
        f"not pass TTIN and TTOU on (gunicorn: {finding['TTIN through init']}).",
    )


def signal_cell(effect: dict[str, Any]) -> str:
    """What a signal does, and how many requests were lost meanwhile."""
    counted = effect.get("asked") and effect["what"] == "every worker new"
    return effect["what"] + (f"; lost {effect['lost']} of {effect['asked']}" if counted else "")
