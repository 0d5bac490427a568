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
from loadtests.generator.orders import Observation, Order
from loadtests.run.contract_check import ContractChecks
from loadtests.run.testbed import GENERATOR, Testbed
from loadtests.run.variables import VARIABLES, list_stock_routes, read_plan
from loadtests.run.windows import measure_windows
from loadtests.window import NO_SERVER, Cell, Window, read_window
from stack import ROOT, proxies
from tests.support.engine import client, exec_in, inspect

pytestmark = pytest.mark.timeout(300)
CELL = Cell("hello", "granian", "asgi", "bare", "nginx", 1, 8, mode="rate")
CEILING = CELL._replace(mode="ceiling")
KILL_WORKERS = """
import os
for process in filter(str.isdigit, os.listdir("/proc")):
    parent = open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[1]
    if int(parent) > 1 and int(process) != os.getpid():
        os.kill(int(process), 9)
"""


@contextlib.contextmanager
def bench(*variables: str) -> Iterator["subprocess.Popen[str]"]:
    """`make bench` as a user types it, in a process group of its own."""
    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES}
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


def is_anything_left() -> bool:
    """Whether anything is left of the bench's project."""
    return Testbed([]).compose.exists()


def test_every_part_has_its_cores_and_publishes_no_port() -> None:
    testbed = Testbed([*proxies.names(), *list_stock_routes()])
    services = testbed.compose.services
    for name in ("app", *testbed.proxies, *testbed.stock):
        assert services[name]["cpuset"] == ",".join(map(str, testbed.stack_cores)), name
        assert services[name]["restart"] == "no" and "ports" not in services[name], name
    assert services[GENERATOR]["cpuset"] == ",".join(map(str, testbed.generator_cores))


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
            output = process.stdout.read()
        assert folder and f"make bench RUN={folder.name}` goes on" in output and "Traceback" not in output
        assert process.returncode != 0 and not is_anything_left()
        kept = (folder / "runs.jsonl").read_text()
        assert 4 <= len(kept.splitlines()) < 8
        assert "Interrupted" in (folder / "report.html").read_text()

        with (folder / "runs.jsonl").open("a") as file:
            file.write('{"scenario": "hel')  # a run that was killed while it wrote
        with bench(f"RUN={folder.name}") as process:
            output = process.communicate()[0]
        is_quiet = "no window of this run is valid" not in output  # the other tests keep the machine busy
        assert process.returncode == (0 if is_quiet else 2), output
        lines = (folder / "runs.jsonl").read_text()
        assert lines.startswith(kept) and len(lines.splitlines()) == 8
        windows = [read_window(json.loads(line)) for line in lines.splitlines()]
        assert len({(window.cell, window.round) for window in windows}) == 8
        assert "Interrupted" not in (folder / "report.html").read_text()
        assert not is_anything_left()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """The bench's own stack, with NGINX in front."""
    with Testbed(["nginx"]).running() as testbed:
        yield testbed


@pytest.fixture(scope="module")
def served(testbed: Testbed) -> Testbed:
    """The testbed with Granian behind NGINX."""
    serve(testbed)
    return testbed


def serve(testbed: Testbed) -> None:
    """Starts Granian anew, and waits until NGINX reaches it."""
    testbed.serve("granian", "asgi", "bare", 1, 8)
    ContractChecks(testbed).wait_for_route("nginx")


def measure(testbed: Testbed, *cells: Cell, fault: Callable[[], Any] = lambda: None, rate: str = "") -> list[Window]:
    """The windows of some cells. The fault happens in the middle of the first window."""
    plan = read_plan({"RATE": rate} if rate else {}, 1)
    measure_order, has_begun = testbed.measure, threading.Event()

    def measure_with_fault(order: Order) -> tuple[Observation, float]:
        if order.seconds > 0.5 and not has_begun.is_set():  # a window, not the warm-up
            has_begun.set()
            threading.Timer(0.4, fault).start()
        return measure_order(order)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(testbed, "measure", measure_with_fault)
        return list(measure_windows(testbed, list(cells), plan))


def test_a_window_without_fault_says_what_a_request_cost_each_part(served: Testbed) -> None:
    rate, ceiling = measure(served, CELL, CEILING)
    for window in (rate, ceiling):
        assert not window.rules - {"machine", "generator", "rate"}  # what else runs here does not matter to this test
        assert window.errors == {}
        assert all(1e-6 < window.cpu[part] / window.requests < 0.1 for part in ("app", "proxy", "generator"))
        assert window.cpu["engine"] >= 0
        assert window.memory_peak["app"] >= window.memory["app"] > 10e6
    assert rate.latency["p50"] <= rate.latency["p99"] <= rate.latency["p99.9"]
    assert ceiling.requests > rate.requests


def test_a_generator_that_cannot_send_more_is_marked(testbed: Testbed) -> None:
    with busy(testbed.generator_cores[-1]):  # so the generator has little CPU time, whatever else runs here
        (window,) = measure(testbed, Cell("hello", NO_SERVER, route="nginx", mode="rate"), rate="100000")
    assert {"generator", "rate"} <= window.rules
    assert window.requests / window.seconds < 98_000


def test_a_window_with_errors_is_marked(served: Testbed) -> None:
    (window,) = measure(served, CELL, fault=lambda: exec_in(served.app, "python3", "-c", KILL_WORKERS))
    (errors,) = [invalidity for invalidity in window.invalid if invalidity.rule == "errors"]
    assert sum(window.errors.values()) > 0 and f"{sum(window.errors.values())} of " in errors.reason


def test_a_container_that_the_kernel_holds_back_is_marked(testbed: Testbed) -> None:
    serve(testbed)
    client().api.update_container(testbed.app, cpu_period=100_000, cpu_quota=10_000)
    (window,) = measure(testbed, CEILING)
    assert "throttled" in window.rules


def test_another_busy_process_is_marked(testbed: Testbed) -> None:
    serve(testbed)
    with busy(testbed.stack_cores[0]):
        (window,) = measure(testbed, CELL)
    assert "machine" in window.rules


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
    (window,) = measure(testbed, CELL, fault=lambda: client().api.kill(app))
    assert {"restart", "errors"} <= window.rules
    assert inspect(app)["State"]["Running"] is False


def test_a_run_whose_application_cannot_be_measured_ends_at_once() -> None:
    arguments = ("SERVERS=uvicorn", "PROXIES=direct", "ROUNDS=5", "HEALTH_PATH=/nothing", "START_TIMEOUT=3")
    with bench(*arguments) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and "Error 3" in output, "the status of make, and of the run"
    assert "bare cannot be measured: the app was not ready within 3 s (/nothing: 404" in output
    assert "of 5 starts" not in output, "no second start"
    assert not is_anything_left()
