"""The folder of a run: its plan (`plan.json`) and its records so far (`runs.jsonl`), both kept to go on from."""

import datetime
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.analysis import records
from loadtests.run.plan import Block, Plan, Start
from loadtests.run.variables import FORMER_VARIABLES, VARIABLES, read_plan
from loadtests.window import Cell, Window, read_cell, write_record
from stack import Problem

UNMEASURED = -1  # in place of a round: the cell cannot be measured at all
Measured = set[tuple[Cell, int]]  # cells with their rounds


class RunFolder:
    """A run on disk. Each record is a whole line, so an interrupted run loses at most its present window."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, plan
        self.name = path.name
        self.records_file = path / "runs.jsonl"

    def read_records(self) -> list[dict[str, Any]]:
        """The records so far."""
        return [json.loads(line) for line in self.read_whole_lines()]

    def read_whole_lines(self) -> list[str]:
        """The lines so far, without one that a killed run left unfinished."""
        text = self.records_file.read_text() if self.records_file.is_file() else ""
        return [line for line in text.splitlines(True) if line.endswith("\n")]

    def remove_unfinished_line(self) -> None:
        """Removes what a killed run left behind the last whole line."""
        with self.records_file.open("a") as file:
            file.truncate(len("".join(self.read_whole_lines()).encode()))

    def find_measured(self) -> Measured:
        """Every cell and round that has a record."""
        return {(read_cell(record), record.get("round", UNMEASURED)) for record in self.read_records()}

    def find_due(self) -> list[Start]:
        """The starts that have windows left to measure, each with the cells of these windows only."""
        measured = self.find_measured()
        starts = (start._replace(block=without_measured(start, measured)) for start in self.plan.starts())
        return [start for start in starts if start.block.cells]

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a record."""
        with self.records_file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def write_window(self, window: Window, start: Start) -> None:
        """Adds a window that was measured after a start."""
        window.round, window.block = start.round, start.place
        self.write(write_record(window))

    def write_unmeasured(self, cell: Cell, reason: str) -> None:
        """Notes that a cell cannot be measured in any round, and why."""
        self.write(cell._asdict() | {"unmeasured": reason})


def without_measured(start: Start, measured: Measured) -> Block:
    """The block of a start with those cells only that are still to be measured in its round."""
    cells = start.block.cells
    due = tuple(cell for cell in cells if not {(cell, start.round), (cell, UNMEASURED)} & measured)
    return start.block._replace(cells=due)


def resume_or_create(environ: Mapping[str, str]) -> RunFolder:
    """The run that RUN names, to go on with; without RUN, a new one."""
    name = environ.get("RUN", "")
    return resume(name, environ) if name else create(environ)


def create(environ: Mapping[str, str]) -> RunFolder:
    """A new run's folder, with its plan."""
    seed = int(time.time())
    plan = read_plan(environ, seed)
    path = records.RESULTS / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}-{plan.name}"
    path.mkdir(parents=True)
    variables = {name: environ[name] for name in VARIABLES if environ.get(name)}
    (path / "plan.json").write_text(json.dumps({"variables": variables, "seed": seed}, indent=1) + "\n")
    return RunFolder(path, plan)


def resume(name: str, environ: Mapping[str, str]) -> RunFolder:
    """A run that began before; `Problem` where there is none, or where it would go on with another plan."""
    path = records.RESULTS / name
    if not (path / "plan.json").is_file():
        raise Problem(f"RUN={name} is not a run to go on with: {records.describe_runs()}")
    if others := [variable for variable in VARIABLES if environ.get(variable) and variable != "RUN"]:
        raise Problem(f"RUN={name} goes on as it began: leave out {', '.join(sorted(others))}")
    content = json.loads((path / "plan.json").read_text())
    variables = {FORMER_VARIABLES.get(variable, variable): value for variable, value in content["variables"].items()}
    if strange := sorted(variables.keys() - VARIABLES):
        raise Problem(f"RUN={name} began with {', '.join(strange)}, which the bench no longer reads: begin a new run")
    return RunFolder(path, read_plan(variables, content["seed"]))
