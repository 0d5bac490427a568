"""`make bench`: which server, behind which proxy, at what cost? Measures the windows of a plan, and writes the report.

Each window is written to loadtests/results/<run>/runs.jsonl as soon as it is over. So an interrupted run keeps and
reports the windows that it has, and `make bench RUN=<run>` goes on with the rest.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from loadtests.analysis import records
from loadtests.report import page
from loadtests.run import conditions
from loadtests.run.contract_check import ContractChecks
from loadtests.run.plan import Block, Start, estimate_seconds
from loadtests.run.run_folder import RunFolder, resume_or_create
from loadtests.run.testbed import Testbed
from loadtests.run.variables import read_plan
from loadtests.run.windows import failed_window, measure_windows
from loadtests.window import NO_SERVER, Cell, read_window
from stack import ROOT, Problem, settings

# What `make up` reads, and what to give the bench in its place.
INSTEAD = {"SERVER": "SERVERS", "INTERFACE": "INTERFACES", "APP": "APPS", "PROXY": "PROXIES"}


def main() -> None:
    """`make bench`."""
    settings.spelling(os.environ.get("MAKEFLAGS", ""), INSTEAD)
    if not os.environ.get("RUN"):
        read_plan(os.environ, 0)  # a mistake in the variables must not wait for the lock
    for number in (signal.SIGTERM, signal.SIGINT):  # a background job would ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    with hold_lock():
        run = resume_or_create(os.environ)
        if run.find_due():
            measure_on_testbed(run)
        else:
            finalize(run)
        windows = [read_window(record) for record in run.read_records() if "unmeasured" not in record]
        if all(window.invalid for window in windows):
            raise NothingMeasured("no window of this run is valid: the report has the reasons")


@contextlib.contextmanager
def hold_lock() -> Iterator[None]:
    """Lets one run measure at a time, because a second one would disturb the first."""
    records.RESULTS.mkdir(parents=True, exist_ok=True)
    with (records.RESULTS / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Problem("another run is measuring here: wait for it, or end it with Ctrl-C") from None
        yield


def measure_on_testbed(run: RunFolder) -> None:
    """Measures what is left of a run on a testbed of its own, and reports the run, whole or interrupted."""
    testbed = Testbed(run.plan.routes, run.plan.bases, run.plan.slowdown)
    os.sched_setaffinity(0, testbed.generator_cores)  # the bench itself must take nothing from the stack
    print(f"bench: {describe(run)}", flush=True)
    try:
        with remove_afterwards(testbed):
            testbed.start_all()
            conditions.write(run, testbed)
            stack, generator = (", ".join(map(str, cores)) for cores in (testbed.stack_cores, testbed.generator_cores))
            print(f"bench: the stack on core {stack}, the generator on {generator}")
            measure(run, testbed)
    except KeyboardInterrupt:
        print(f"\nbench: interrupted: `make bench RUN={run.name}` goes on", file=sys.stderr)
        sys.exit(130)
    finally:
        if run.read_records():
            finalize(run)


def describe(run: RunFolder) -> str:
    """The size of a run and what is left of it, in words."""
    plan, left = run.plan, sum(len(start.block.cells) for start in run.find_due())
    rest = "" if left == plan.windows else f", {left} of them left"
    duration = f"about {plan.seconds / 60:.0f} min, and the images' building"
    return f"{run.name}: {plan.windows} windows in {plan.rounds} rounds{rest}: {duration}"


@contextlib.contextmanager
def remove_afterwards(testbed: Testbed) -> Iterator[None]:
    """Removes the testbed in any case. A second Ctrl-C does not interrupt this."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        testbed.stop()


def measure(run: RunFolder, testbed: Testbed) -> None:
    """Measures every window that is due. `Problem` where an application can be measured on no route."""
    checks = ContractChecks(testbed)
    run.remove_unfinished_line()
    starts, began = run.find_due(), time.monotonic()
    unmeasured: set[Cell] = set()
    hopeless = HopelessApps(starts)
    for count, start in enumerate(starts, 1):
        cells = tuple(cell for cell in start.block.cells if cell not in unmeasured)
        if cells:
            block = start.block._replace(cells=cells)
            unmeasured |= measure_start(run, testbed, checks, start._replace(block=block), hopeless)
        place = f"[{count} of {len(starts)} starts; about {estimate_minutes(starts, count, began):.0f} min left]"
        print(f"bench: round {start.round + 1} of {run.plan.rounds}: {start.block.describe()} {place}", flush=True)


class NothingMeasured(Problem):
    """A run without a figure. Its exit status is not that of a mistake in the settings."""

    status = 3


class HopelessApps:
    """Ends a run whose application no server can serve, because every window of it would be invalid.

    A start without any route that can be measured counts against the application. The second such start on another
    server ends the run, and the first one where the plan has no other server for this application.
    Checked by: test_a_run_whose_application_cannot_be_measured_ends_at_once
    """

    def __init__(self, starts: Sequence[Start]) -> None:
        self.planned = {(start.block.app, start.block.server, start.block.interface) for start in starts}
        self.refused: set[tuple[str, str, str]] = set()
        self.measurable: set[str] = set()  # one server serves these, so the application is not the reason

    def note(self, block: Block, faults: Mapping[str, str]) -> None:
        """Notes the faults of a start, by route; `Problem` where the run is to end."""
        if len(faults) < len({cell.route for cell in block.cells}):
            self.measurable.add(block.app)
            return
        self.refused.add((block.app, block.server, block.interface))
        planned, refused = (sum(app == block.app for app, *_ in starts) for starts in (self.planned, self.refused))
        if block.app not in self.measurable and refused >= min(2, planned):
            raise NothingMeasured(f"{block.app} cannot be measured: {next(iter(faults.values()))}; the run ends here")


def measure_start(
    run: RunFolder, testbed: Testbed, checks: ContractChecks, start: Start, hopeless: HopelessApps
) -> set[Cell]:
    """Starts a server and measures its windows, each written when it is over.

    Returns the cells that cannot be measured in any round.
    """
    differing, failed = serve(testbed, checks, start.block)
    unmeasured = {cell for cell in start.block.cells if cell.route in differing}
    for cell in start.block.cells:
        if cell in unmeasured:
            run.write_unmeasured(cell, differing[cell.route])
        elif cell.route in failed:
            run.write_window(failed_window(cell, "start", failed[cell.route]), start)
    ready = [cell for cell in start.block.cells if cell.route not in differing | failed]
    for window in measure_windows(testbed, ready, run.plan):
        run.write_window(window, start)
    hopeless.note(start.block, differing | failed)
    return unmeasured


def estimate_minutes(starts: Sequence[Start], count: int, began: float) -> float:
    """About how long the starts after the first `count` take, at the pace since `began`."""
    durations = [estimate_seconds(start.block.cells) for start in starts]
    return (time.monotonic() - began) * sum(durations[count:]) / sum(durations[:count]) / 60


def serve(testbed: Testbed, checks: ContractChecks, block: Block) -> tuple[dict[str, str], dict[str, str]]:
    """Starts the server of a block. Returns two kinds of routes with the reason of each.

    The first are the routes whose answers differ from the contract, the second those that failed at this start.
    """
    routes = dict.fromkeys(cell.route for cell in block.cells)
    differing, failed = {}, {}
    try:
        if block.server != NO_SERVER:
            testbed.serve(block.server, block.interface, block.app, block.workers, block.cells[0].threads)
    except Problem as problem:
        return {}, dict.fromkeys(routes, str(problem))
    for route in routes:
        try:
            if fault := checks.find_fault(block, route):
                differing[route] = fault
        except (OSError, Problem) as problem:
            failed[route] = str(problem)
    return differing, failed


def finalize(run: RunFolder) -> None:
    """Notes whether windows are missing, writes the report, and says where it is."""
    file = run.path / "machine.json"
    machine = json.loads(file.read_text()) | {"interrupted": bool(run.find_due())}
    file.write_text(json.dumps(machine, indent=1) + "\n")
    page.write(run.path)
    for notice in page.notices(records.read(run.path)):
        print(f"bench: {notice}")
    print(f"bench: {(run.path / 'report.html').relative_to(ROOT)}")
