"""C20: a worker is a process; counted from outside, and asked from inside."""

from typing import Any

import pytest

from apps import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict, single_server
from tests.claims.single_server import SingleServers

CLAIM = Claim("C20", "`--workers 6`: each worker is a separate process")
NUMBERS = (1, 2, 4)


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_every_worker_that_is_asked_for_is_a_process(servers: SingleServers, number: int, finding: Finding) -> None:
    pairs = serve.pairs() if number == 1 else single_server.with_workers()
    ones = [servers.start(server, interface, WORKERS=str(number)) for server, interface in pairs]
    try:
        for one in ones:
            one.ready()
            outside, inside = one.top(), one.look()
            assert outside.main and inside.main
            assert len(outside.workers) == len(inside.workers), "the host and the container count the same processes"
            finding.setdefault(one.name, {})[str(number)] = {
                "workers": len(outside.workers),
                "threads": sorted(worker.threads for worker in inside.workers) or [inside.main.threads],
                "answered": sorted("main" if pid == inside.main.pid else "worker" for pid in answering(one)),
                "strangers": len(answering(one) - set(inside.pids)),
            }
    finally:
        servers.remove(*ones)


def answering(one: single_server.SingleServer) -> set[int]:
    """The pids that answer, as the application sees its own."""
    seen: set[int] = set()

    def all_there() -> bool:
        answers = single_server.ask(one.target, "/process", 8, keep_alive=False, requests=32)
        assert {answer.status for answer in answers} == {200}
        seen.update(answer.pid for answer in answers)
        return len(seen) >= one.workers

    assert wait_until(all_there, 30), f"{one.name}: only {seen} answer"
    return seen


@pytest.mark.parametrize(
    ("server", "interface"), [pair for pair in serve.pairs() if single_server.has_one_process(*pair)], ids=str
)
def test_a_server_without_workers_refuses_them(server: str, interface: str, finding: Finding) -> None:
    with pytest.raises(serve.SettingsError, match=f"{server} is one process") as refusal:
        serve.choose({"SERVER": server, "INTERFACE": interface, "WORKERS": "2"})
    finding.setdefault("without", {})[f"{server} {interface}"] = str(refusal.value)


def conclude(found: Finding) -> Conclusion:
    """Holds if N workers are N processes that all answer; with a limit if some server has none, or one is not apart."""
    without: dict[str, str] = found["without"]
    counted: dict[str, Any] = {name: found[name] for name in found if name != "without"}
    able = {name: cells for name, cells in counted.items() if name not in without}

    def right(cells: dict[str, Any], number: int) -> bool:
        cell = cells[str(number)]
        return cell["workers"] == number and cell["answered"] == ["worker"] * number and not cell["strangers"]

    apart = [name for name, cells in able.items() if all(right(cells, number) for number in NUMBERS[1:])]
    alone_too = [name for name in apart if right(able[name], 1)]
    inside = [name for name in apart if able[name]["1"]["answered"] == ["main"]]
    verdict: Verdict
    if not apart:
        verdict = "never was"
    elif len(alone_too) == len(counted):
        verdict = "holds"
    else:
        verdict = "holds with a limit"
    evidence = (
        f"With 2 and 4 workers {len(apart)} of {len(able)} server scripts are a main process and exactly so many "
        f"children, and every child answers requests. {' and '.join(without)} have no workers. "
        f"With one worker {', '.join(inside) or 'none'} answers from its main process."
    )
    rows = [
        [
            f"`{name}`",
            *(cell_of(cells.get(str(number))) for number in NUMBERS),
            ", ".join(map(str, cells[str(NUMBERS[-1])]["threads"])) if name in able else "–",
        ]
        for name, cells in counted.items()
    ]
    table = Table(
        "Processes",
        ["server", *(f"WORKERS={number}" for number in NUMBERS), "threads in each of 4"],
        rows,
        "Children of the main process as the host counts them, and who answered `/process`. "
        "Python's own helper (multiprocessing's resource tracker) is not counted.",
    )
    return Conclusion(verdict, evidence, (table,))


def cell_of(cell: dict[str, Any] | None) -> str:
    """One cell of the table."""
    if not cell:
        return "refused"
    return "the main process" if cell["answered"] == ["main"] else f"{cell['workers']} + main"
