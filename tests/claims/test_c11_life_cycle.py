"""C11: how a server starts and stops the application, and what each signal does."""

import threading
import time
from collections import Counter
from typing import Any

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, load, single_server
from tests.claims.single_server import SingleServer, SingleServers
from tests.support.engine import docker

CLAIM = Claim(
    "C11",
    "The application server manages the application's life cycle: start, run, stop",
    also=("test_sigterm_lets_the_request_in_flight_finish",),
)
SIGNALS = ("TTIN", "TTOU", "HUP", "QUIT", "TERM")
GRACE = 20  # as single_server.SETTINGS says: after that a server may kill
# Seconds without a change after which there will be none: granian replaces a worker every 3.5 s.
PATIENCE = {"TTIN": 5, "TTOU": 5, "HUP": 10, "QUIT": GRACE + 8, "TERM": GRACE + 8}
WORKERS = 2  # as single_server.SETTINGS says


def events(one: SingleServer) -> dict[str, int]:
    """What the application said, by event; for each event also how many processes said it."""
    lines = [line.split() for line in one.logs().splitlines() if line.startswith("life: ")]
    found = Counter(line[1] for line in lines)
    pids = {event: len({line[2] for line in lines if line[1] == event}) for event in found}
    assert found == Counter(pids), f"{one.name}: a process said one thing twice: {lines}"
    return dict(found)


@pytest.mark.long
def test_start_and_stop_reach_the_application(servers: SingleServers, finding: Finding) -> None:
    ones = [
        servers.start(server, interface, single_server.APPS / interface / "life.py")
        for server, interface in serve.pairs()
    ]
    try:
        finding["lives"] = dict(single_server.at_once(lived, ones))
    finally:
        servers.remove(*ones)


def lived(one: SingleServer) -> tuple[str, dict[str, Any]]:
    """One life: started, asked, stopped as Docker stops."""
    one.ready()
    began = time.monotonic()
    docker("stop", "--time", "30", one.container)
    took = time.monotonic() - began
    found = events(one)
    assert found["import"] >= one.workers, "the application was not there"
    return one.name, {"workers": one.workers, "events": found, "state": one.state(), "seconds": round(took, 1)}


@pytest.mark.long
@pytest.mark.timeout(500)
def test_what_each_signal_does(servers: SingleServers, finding: Finding) -> None:
    ones = [servers.start(server, interface) for server, interface in serve.pairs()]
    try:
        finding["signals"] = dict(single_server.at_once(lambda one: signalled(servers, one), ones, 4))
    finally:
        servers.stop()


def signalled(servers: SingleServers, one: SingleServer) -> tuple[str, dict[str, Any]]:
    """Each signal in turn, to the main process of a server that no earlier one has changed."""
    found: dict[str, Any] = {}
    for name in SIGNALS:
        one.ready()
        before = one.top()
        assert len(before.pids) == one.workers
        found[name] = effect(one, name, before)
        if found[name]["what"] != "ignored":
            servers.remove(one)
            one = servers.start(one.server, one.interface)
    servers.remove(one)
    return one.name, found


def effect(one: SingleServer, name: str, before: single_server.Family) -> dict[str, Any]:
    """What one signal does; under HUP also what clients lose."""
    answers: list[load.Answer] = []
    over = threading.Event()
    clients = []
    if name == "HUP":
        target = one.target

        def ask(keep_alive: bool) -> None:
            while not over.is_set():
                answers.extend(single_server.ask(target, "/process", 2, keep_alive, seconds=1, pause=0.03))

        clients = [threading.Thread(target=ask, args=(keep,), daemon=True) for keep in (True, False)]
        for client in clients:
            client.start()
    main = one.look().main
    assert main
    one.kill(main.pid, name)
    what = outcome(one, before, PATIENCE.get(name, 8))
    over.set()
    for client in clients:
        client.join(30)
    lost = sum(answer.status != 200 for answer in answers)
    return {"what": what} | ({"asked": len(answers), "lost": lost} if name == "HUP" else {})


def outcome(one: SingleServer, before: single_server.Family, patience: float) -> str:
    """What becomes of the processes, once it has been the same for a while; a change that has an end is soon clear."""
    old, began = set(before.pids), time.monotonic()
    last, since = "ignored", began
    while time.monotonic() - began < 60:
        now, clock = described(one, old), time.monotonic()
        if now != last:
            last, since = now, clock
        if last.startswith("exits"):
            return last + (f" after {clock - began:.0f} s" if clock - began > GRACE * 0.9 else "")
        if clock - since > (2 if last in ("every worker new", "the main process is suspended") else patience):
            return last
        time.sleep(0.3)
    raise AssertionError(f"{one.name} does not come to rest: {last}")


def described(one: SingleServer, old: set[int]) -> str:
    """The processes now, against those before."""
    state = one.state()
    if state != "running":
        return state.replace("exited", "exits")
    family = one.top()
    if family.main and family.main.state == "T":
        return "the main process is suspended"
    now = set(family.pids) if family.workers or one.workers == 1 else set()
    if now == old:
        return "ignored"
    if len(now) != len(old):
        return f"{len(old)} → {len(now)} workers"
    return "every worker new" if not now & old else f"{len(now - old)} of the {len(old)} workers new"


@pytest.mark.long
def test_dockers_init_keeps_ttin_from_the_server(servers: SingleServers, finding: Finding) -> None:
    with servers.serving("gunicorn", "wsgi", **single_server.SETTINGS) as one:
        one.ready()
        one.signal("TTIN")
        finding["TTIN through init"] = outcome(one, one.top(), PATIENCE["TTIN"])
        before = one.top()
        assert effect(one, "TTIN", before)["what"] == "2 → 3 workers", "sent to the main process it does arrive"


def conclude(found: Finding) -> Conclusion:
    """Holds if each ASGI worker hears of its start and its end once, on every server; with a limit if some do not."""
    lives: dict[str, Any] = found["lives"]
    asgi = {name: one for name, one in lives.items() if name.endswith(" asgi")}

    def count(one: dict[str, Any], event: str) -> int:
        return int(one["events"].get(event, 0))

    whole = [
        name
        for name, one in asgi.items()
        if count(one, "lifespan.startup") == count(one, "lifespan.shutdown") == one["workers"]
    ]
    silent = [name for name, one in asgi.items() if not count(one, "lifespan.startup")]
    rest = [
        f"{name} {count(one, 'lifespan.startup')} starts and {count(one, 'lifespan.shutdown')} stops"
        for name, one in asgi.items()
        if name not in whole and name not in silent
    ]
    wsgi = {name: one for name, one in lives.items() if name not in asgi}
    exits = sum(count(one, "exit") == one["workers"] for one in wsgi.values())
    signals: dict[str, Any] = found["signals"]
    hup = [name for name, one in signals.items() if one["HUP"]["what"] == "every worker new"]
    verdict: Verdict = "holds" if len(whole) == len(asgi) else "holds with a limit" if whole else "never was"
    evidence = (
        f"With {WORKERS} workers {len(whole)} of {len(asgi)} ASGI servers send each worker one lifespan start-up and "
        f"one shutdown; {' and '.join(silent) or 'none'} sends none"
        + (f"; {', '.join(rest)}" if rest else "")
        + f". WSGI has no such events: an import per worker, and `atexit` in every worker on {exits} of {len(wsgi)}. "
        f"HUP replaces all workers on {len(hup)} of {len(signals)} server scripts."
    )
    life_rows = [
        [
            f"`{name}`",
            str(one["workers"]),
            str(count(one, "import")),
            str(count(one, "lifespan.startup")) if name in asgi else "–",
            str(count(one, "lifespan.shutdown")) if name in asgi else "–",
            str(count(one, "exit")),
            one["state"].replace("exited ", ""),
        ]
        for name, one in lives.items()
    ]
    signal_rows = [[f"`{name}`", *(signal_cell(one[signal]) for signal in SIGNALS)] for name, one in signals.items()]
    columns = ["server", "workers", "imports", "start-ups", "shutdowns", "`atexit`", "exit code"]
    return Conclusion(
        verdict,
        evidence,
        (
            Table(
                "From start to stop",
                columns,
                life_rows,
                "Stopped by `docker stop` (SIGTERM). A shutdown takes up to 4 s, not as long in each worker, and is "
                "counted at its end: a server that ends all workers with its first loses the others'.",
            ),
            Table(
                "Signals",
                ["server", *SIGNALS],
                signal_rows,
                f"Sent to the main process of a server with {WORKERS} workers, where it has workers. "
                "Lost: of requests asked while the workers were replaced. Docker's init, which the stack uses, does "
                f"not pass TTIN and TTOU on (gunicorn: {found['TTIN through init']}).",
            ),
        ),
    )


def signal_cell(one: dict[str, Any]) -> str:
    """One cell."""
    lost = f"; lost {one['lost']} of {one['asked']}" if one.get("asked") and one["what"] == "every worker new" else ""
    return one["what"] + lost
