"""C20: is a worker a process? The host counts the processes, and the application reports its own."""

from typing import Any

import pytest

from apps.runtime import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.http_client import send_gets
from tests.claims.support.server_scripts import find_servers_with_workers, has_one_process
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.single_server import SingleServer

CLAIM = Claim("C20", "`--workers 6`: each worker is a separate process")
NUMBERS = (1, 2, 4)


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_every_worker_that_is_asked_for_is_a_process(servers: SingleServers, number: int, finding: Finding) -> None:
    pairs = serve.pairs() if number == 1 else find_servers_with_workers()
    started = [servers.start(*pair, WORKERS=str(number)) for pair in pairs]
    try:
        for server in started:
            server.wait_for_workers()
            outside, inside = server.list_processes(), server.read_processes()
            assert outside.main and inside.main
            assert len(outside.workers) == len(inside.workers), "the host and the container count the same processes"
            finding.setdefault(server.name, {})[str(number)] = {
                "workers": len(outside.workers),
                "threads": sorted(worker.threads for worker in inside.workers) or [inside.main.threads],
                "answered": sorted("main" if pid == inside.main.pid else "worker" for pid in find_answering(server)),
                "strangers": len(find_answering(server) - set(inside.pids)),
            }
    finally:
        servers.remove(*started)


def find_answering(server: SingleServer) -> set[int]:
    """The pids of the processes that answer, as the application reports them."""
    pids: set[int] = set()

    def has_every_worker_answered() -> bool:
        answers = send_gets(server.target, "/process", 8, keep_alive=False, requests=32)
        assert {answer.status for answer in answers} == {200}
        pids.update(answer.pid for answer in answers)
        return len(pids) >= server.workers

    assert wait_until(has_every_worker_answered, 30), f"{server.name}: only {pids} answer"
    return pids


@pytest.mark.parametrize(("server", "interface"), [pair for pair in serve.pairs() if has_one_process(*pair)], ids=str)
def test_a_server_without_workers_refuses_them(server: str, interface: str, finding: Finding) -> None:
    with pytest.raises(serve.SettingsError, match=f"{server} is one process") as refusal:
        serve.choose({"SERVER": server, "INTERFACE": interface, "WORKERS": "2"})
    finding.setdefault("without", {})[f"{server} {interface}"] = str(refusal.value)


def conclude(finding: Finding) -> Conclusion:
    """Holds if N workers are N processes that all answer; with a limit if a server has none, or one is not apart."""
    without: dict[str, str] = finding["without"]
    counted: dict[str, Any] = {name: finding[name] for name in finding if name != "without"}
    able = {name: cells for name, cells in counted.items() if name not in without}
    apart = [name for name, cells in able.items() if all(is_exact(cells, number) for number in NUMBERS[1:])]
    also_with_one = [name for name in apart if is_exact(able[name], 1)]
    verdict: Verdict
    if not apart:
        verdict = "never was"
    elif len(also_with_one) == len(counted):
        verdict = "holds"
    else:
        verdict = "holds with a limit"
    in_main_process = [name for name in apart if able[name]["1"]["answered"] == ["main"]]
    evidence = (
        f"With 2 and 4 workers {len(apart)} of {len(able)} server scripts are a main process and exactly so many "
        f"children, and every child answers requests. {' and '.join(without)} have no workers. "
        f"With one worker {', '.join(in_main_process) or 'none'} answers from its main process."
    )
    return Conclusion(verdict, evidence, (make_table(counted, able),))


def is_exact(cells: dict[str, Any], number: int) -> bool:
    """Whether so many workers are so many processes, which all answer and which alone answer."""
    cell = cells[str(number)]
    return cell["workers"] == number and cell["answered"] == ["worker"] * number and not cell["strangers"]


def make_table(counted: dict[str, Any], able: dict[str, Any]) -> Table:
    """The processes of each server, by number of workers."""
    rows = [
        [
            f"`{name}`",
            *(make_cell(cells.get(str(number))) for number in NUMBERS),
            ", ".join(map(str, cells[str(NUMBERS[-1])]["threads"])) if name in able else "–",
        ]
        for name, cells in counted.items()
    ]
    return Table(
        "Processes",
        ["server", *(f"WORKERS={number}" for number in NUMBERS), "threads in each of 4"],
        rows,
        "Children of the main process as the host counts them, and who answered `/process`. "
        "Python's own helper (multiprocessing's resource tracker) is not counted.",
    )


def make_cell(cell: dict[str, Any] | None) -> str:
    """How many processes answer, and whether the main process is one of them."""
    if not cell:
        return "refused"
    return "the main process" if cell["answered"] == ["main"] else f"{cell['workers']} + main"
