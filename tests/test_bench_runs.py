"""The bench at work: a run that is interrupted and goes on, and windows that go wrong for real, each marked."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.analysis.records import RESULTS
from loadtests.run import plan
from loadtests.run.contract_check import Fit
from loadtests.run.testbed import Testbed
from loadtests.run.windows import windows
from loadtests.window import NO_SERVER, Cell
from stack import ROOT

pytestmark = pytest.mark.timeout(300)
CELL = Cell("hello", "granian", "asgi", "bare", "nginx", 1, 8, mode="rate")
CEILING = CELL._replace(mode="ceiling")
KILL_WORKERS = """
import os
for one in filter(str.isdigit, os.listdir("/proc")):
    parent = open(f"/proc/{one}/stat").read().rpartition(")")[2].split()[1]
    if int(parent) > 1 and int(one) != os.getpid():
        os.kill(int(one), 9)
"""


def docker(*arguments: str) -> str:
    """What the engine says."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def bench(*variables: str) -> Iterator["subprocess.Popen[str]"]:
    """`make bench` as one types it, in a group of its own."""
    environ = {name: value for name, value in os.environ.items() if name not in plan.VARIABLES}
    command = ["make", "bench", *variables]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def left() -> bool:
    """Whether anything is left of the bench's project."""
    return Testbed([]).compose.exists()


def test_an_interrupted_run_keeps_reports_cleans_up_and_goes_on() -> None:
    folder: Path | None = None
    try:
        with bench("SERVERS=granian", "INTERFACES=asgi", "PROXIES=direct", "ROUNDS=2") as process:
            assert process.stdout
            for line in process.stdout:
                if "windows in" in line:
                    folder = RESULTS / line.split()[1].rstrip(":")
                if "2 of 4 starts" in line:
                    os.killpg(process.pid, signal.SIGINT)
                    break
            said = process.stdout.read()
        assert folder and f"make bench RUN={folder.name}` goes on" in said and "Traceback" not in said
        assert process.returncode != 0 and not left()
        kept = (folder / "runs.jsonl").read_text()
        assert 4 <= len(kept.splitlines()) < 8
        assert "Interrupted" in (folder / "report.html").read_text()

        with (folder / "runs.jsonl").open("a") as file:
            file.write('{"scenario": "hel')  # a run that was killed while it wrote
        with bench(f"RUN={folder.name}") as process:
            said = process.communicate()[0]
        assert process.returncode == 0, said
        whole = (folder / "runs.jsonl").read_text()
        assert whole.startswith(kept) and len(whole.splitlines()) == 8
        windows = [json.loads(line) for line in whole.splitlines()]
        assert len({(*(one[name] for name in Cell._fields), one["round"]) for one in windows}) == 8
        assert "Interrupted" not in (folder / "report.html").read_text()
        assert not left()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """The bench's own stack, with NGINX in front."""
    one = Testbed(["nginx"])
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def served(testbed: Testbed) -> Testbed:
    """The testbed with Granian behind NGINX."""
    serve(testbed)
    return testbed


def serve(testbed: Testbed) -> None:
    """Granian anew, found by NGINX."""
    testbed.serve("granian", "asgi", "bare", 1, 8)
    Fit(testbed).wait("nginx")


def measured(
    testbed: Testbed, *cells: Cell, fault: Callable[[], Any] = lambda: None, rate: str = ""
) -> list[dict[str, Any]]:
    """The windows of some cells. The fault happens in the middle of the first."""
    found: list[dict[str, Any]] = []
    given = {"RATE": rate} if rate else {}
    ask, done = testbed.load, threading.Event()

    def load(**wanted: Any) -> dict[str, Any]:
        if wanted["seconds"] > 0.5 and not done.is_set():  # a window, not the warm-up
            done.set()
            threading.Timer(0.4, fault).start()
        return ask(**wanted)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(testbed, "load", load)
        found.extend(windows(testbed, list(cells), plan.read(given, 1)))
    return found


def names(window: dict[str, Any]) -> set[str]:
    """The gates of a window."""
    return {gate["gate"] for gate in window["gates"]}


def test_a_window_without_fault_says_what_a_request_cost_each_part(served: Testbed) -> None:
    rate, ceiling = measured(served, CELL, CEILING)
    for window in (rate, ceiling):
        assert not names(window) - {"machine", "generator", "rate"}  # what else runs here is not this test's
        assert window["errors"] == {}
        assert all(1e-6 < window["cpu"][part] / window["requests"] < 0.1 for part in ("app", "proxy", "generator"))
        assert window["cpu"]["engine"] >= 0
        assert window["peak"]["app"] >= window["memory"]["app"] > 10e6
    assert rate["latency"]["p50"] <= rate["latency"]["p99"] <= rate["latency"]["p99.9"]
    assert ceiling["requests"] > rate["requests"]


def test_a_generator_that_cannot_send_more_is_marked(testbed: Testbed) -> None:
    with busy(testbed.generator[-1]):  # it has little, whatever else runs here
        (window,) = measured(testbed, Cell("hello", NO_SERVER, proxy="nginx", mode="rate"), rate="100000")
    assert {"generator", "rate"} <= names(window)
    assert window["requests"] / window["seconds"] < 98_000


def test_a_window_with_errors_is_marked(served: Testbed) -> None:
    (window,) = measured(served, CELL, fault=lambda: docker("exec", served.app, "python3", "-c", KILL_WORKERS))
    (errors,) = [gate for gate in window["gates"] if gate["gate"] == "errors"]
    assert sum(window["errors"].values()) > 0 and f"{sum(window['errors'].values())} of " in errors["why"]


def test_a_container_that_the_kernel_holds_back_is_marked(testbed: Testbed) -> None:
    serve(testbed)
    docker("update", "--cpus", "0.1", testbed.app)
    (window,) = measured(testbed, CEILING)
    assert "throttled" in names(window)


def test_another_busy_process_is_marked(testbed: Testbed) -> None:
    serve(testbed)
    with busy(testbed.stack[0]):
        (window,) = measured(testbed, CELL)
    assert "machine" in names(window)


@contextlib.contextmanager
def busy(core: int) -> Iterator[None]:
    """A process that takes what it can get of a core."""
    with subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def test_a_container_that_ends_is_marked(testbed: Testbed) -> None:
    serve(testbed)
    app = testbed.app
    (window,) = measured(testbed, CELL, fault=lambda: docker("kill", app))
    assert {"restart", "errors"} <= names(window)
    assert docker("inspect", "--format", "{{.State.Running}}", app).strip() == "false"
