"""`make bench`: which server, behind which proxy, at what cost? Measures a plan's windows, and writes the report.

Every window is a line of loadtests/results/<run>/runs.jsonl, written when it is over: a run that is interrupted keeps
and reports what it has, and `make bench RUN=<run>` goes on with the rest.
"""

import contextlib
import datetime
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtests.analysis.records import RESULTS, known, read
from loadtests.report import page
from loadtests.run import conditions
from loadtests.run import plan as plans
from loadtests.run.contract_check import Fit
from loadtests.run.plan import Block, Plan
from loadtests.run.testbed import Testbed
from loadtests.run.windows import failed_window, measure_windows
from loadtests.window import NO_SERVER, Cell, Window, read_cell, write_record
from stack import ROOT, Problem, settings

INSTEAD = {"SERVER": "SERVERS", "INTERFACE": "INTERFACES", "APP": "APPS", "PROXY": "PROXIES"}  # make up's
Done = set[tuple[Cell, int]]


def main() -> None:
    """`make bench`."""
    settings.spelling(os.environ.get("MAKEFLAGS", ""), INSTEAD)
    if not os.environ.get("RUN"):
        plans.read(os.environ, 0)  # what is wrong is said before another run is waited for
    for one in (signal.SIGTERM, signal.SIGINT):  # a background job would ignore SIGINT
        signal.signal(one, signal.default_int_handler)
    with alone():
        folder, wanted = begun()
        done = finished(folder)
        if not (left := sum(len(due(block, number, done)) for number, block in wanted.starts())):
            finish(folder, wanted)
            return
        testbed = Testbed(wanted.proxies, wanted.bases, wanted.dearer)
        os.sched_setaffinity(0, testbed.generator)  # what the bench does itself takes nothing from the stack
        about = f"about {wanted.seconds / 60:.0f} min, and the images' building"
        whole_run = f"{wanted.windows} windows in {wanted.rounds} rounds"
        rest = "" if left == wanted.windows else f", {left} of them left"
        print(f"bench: {folder.name}: {whole_run}{rest}: {about}", flush=True)
        try:
            with removed(testbed):
                testbed.start_all()
                conditions.write(folder, wanted, testbed)
                print(f"bench: the stack on core {said(testbed.stack)}, the generator on {said(testbed.generator)}")
                measure(folder, wanted, testbed)
        except KeyboardInterrupt:
            print(f"\nbench: interrupted: `make bench RUN={folder.name}` goes on", file=sys.stderr)
            sys.exit(130)
        finally:
            if lines(folder):
                finish(folder, wanted)


def said(cores: list[int]) -> str:
    """Cores in words."""
    return ", ".join(map(str, cores))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One run at a time: a second one would measure the first."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Problem("another run is measuring here: wait for it, or end it with Ctrl-C") from None
        yield


def begun() -> tuple[Path, Plan]:
    """The run's folder and plan: a new one, or, by RUN, one that was begun before."""
    if name := os.environ.get("RUN", ""):
        folder = RESULTS / name
        if not (folder / "plan.json").is_file():
            raise Problem(f"RUN={name} is no run that was begun: {known()}")
        if others := [one for one in plans.VARIABLES if os.environ.get(one) and one != "RUN"]:
            raise Problem(f"RUN={name} goes on as it began: leave out {', '.join(sorted(others))}")
        kept = json.loads((folder / "plan.json").read_text())
        return folder, plans.read(kept["variables"], kept["seed"])
    seed = int(time.time())
    wanted = plans.read(os.environ, seed)
    folder = RESULTS / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}-{wanted.name}"
    folder.mkdir(parents=True)
    variables = {name: os.environ[name] for name in plans.VARIABLES if os.environ.get(name)}
    (folder / "plan.json").write_text(json.dumps({"variables": variables, "seed": seed}, indent=1) + "\n")
    return folder, wanted


def whole(folder: Path) -> list[str]:
    """What the run has written so far, but for a line that a killed run did not end."""
    file = folder / "runs.jsonl"
    return [line for line in file.read_text().splitlines(True) if line.endswith("\n")] if file.is_file() else []


def lines(folder: Path) -> list[dict[str, Any]]:
    """What the run has so far."""
    return [json.loads(line) for line in whole(folder)]


def finished(folder: Path) -> Done:
    """Every cell with its rounds; a cell that cannot be measured has round -1."""
    return {(read_cell(line), line.get("round", -1)) for line in lines(folder)}


@contextlib.contextmanager
def removed(testbed: Testbed) -> Iterator[None]:
    """Whatever happens, nothing of the testbed is left: a second Ctrl-C does not reach what cleans up."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        testbed.stop()


def measure(folder: Path, wanted: Plan, testbed: Testbed) -> None:
    """Every window that is not measured yet, each written down when it is over."""
    fit, done = Fit(testbed), finished(folder)
    with (folder / "runs.jsonl").open("a+") as file:
        file.truncate(len("".join(whole(folder)).encode()))

        def note(line: dict[str, Any]) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        def note_window(window: Window, number: int, place: int) -> None:
            window.round, window.block = number, place
            note(write_record(window))

        blocks = [(number, *one) for number in range(wanted.rounds) for one in enumerate(wanted.order(number))]
        todo = [(*one, cells) for one in blocks if (cells := due(one[2], one[0], done))]
        began, planned = time.monotonic(), [plans.took(one[3]) for one in todo]
        for count, (number, place, block, cells) in enumerate(todo, 1):
            unfit, failed = served(testbed, fit, block, cells)
            for cell in cells:
                if cell.route in unfit and (cell, -1) not in done:
                    done.add((cell, -1))
                    note(cell._asdict() | {"unmeasured": unfit[cell.route]})
                elif cell.route in failed:
                    note_window(failed_window(cell, "start", failed[cell.route]), number, place)
            good = [cell for cell in cells if cell.route not in unfit | failed]
            for window in measure_windows(testbed, good, wanted):
                note_window(window, number, place)
            minutes = (time.monotonic() - began) * sum(planned[count:]) / sum(planned[:count]) / 60
            server = block.server if block.server != NO_SERVER else "no server: the proxies' own answers"
            what = " ".join(filter(None, [server, block.interface, block.app, block.pair]))
            place_in_all = f"{count} of {len(todo)} starts; about {minutes:.0f} min left"
            print(f"bench: round {number + 1} of {wanted.rounds}: {what} [{place_in_all}]", flush=True)


def due(block: Block, number: int, done: Done) -> list[Cell]:
    """The cells of a block that a round has not measured yet."""
    return [cell for cell in block.cells if not {(cell, number), (cell, -1)} & done]


def served(testbed: Testbed, fit: Fit, block: Block, cells: list[Cell]) -> tuple[dict[str, str], dict[str, str]]:
    """Starts the block's server. The ways that do not keep the contract, and those that failed this time, with why."""
    ways = dict.fromkeys(cell.route for cell in cells)
    unfit, failed = {}, {}
    try:
        if block.server != NO_SERVER:
            testbed.serve(block.server, block.interface, block.app, block.workers, cells[0].threads)
    except Problem as problem:
        return {}, dict.fromkeys(ways, str(problem))
    for way in ways:
        try:
            unfit[way] = fit.fault(block, way)
        except (OSError, Problem) as problem:
            failed[way] = str(problem)
    return {way: why for way, why in unfit.items() if why}, failed


def finish(folder: Path, wanted: Plan) -> None:
    """Writes the report, and says where it is."""
    file = folder / "machine.json"
    done = finished(folder)
    missing = any(due(block, number, done) for number, block in wanted.starts())
    file.write_text(json.dumps(json.loads(file.read_text()) | {"interrupted": missing}, indent=1) + "\n")
    page.write(folder)
    for notice in page.notices(read(folder)):
        print(f"bench: {notice}")
    print(f"bench: {(folder / 'report.html').relative_to(ROOT)}")
