"""Reads a run: `runs.jsonl` becomes cells with their windows, `machine.json` the conditions. Invalid windows stay."""

import bisect
import contextlib
import itertools
import json
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.analysis.intervals import Interval, find_median, pair_rounds
from loadtests.analysis.measures import P99, THROUGHPUT, Measure
from loadtests.analysis.validity import ValidityRule
from loadtests.window import REQUIRED, Cell, Window, find_value, read_cell, read_window
from stack import ROOT, Problem

RESULTS = ROOT / "loadtests/results"


@dataclass
class MeasuredCell:
    """A cell and its windows, in the order of the run. `unmeasured` says why the cell cannot be measured at all."""

    cell: Cell
    windows: list[Window] = field(default_factory=list)
    unmeasured: str = ""

    @property
    def invalid_windows(self) -> list[Window]:
        """The windows that break a validity rule."""
        return [window for window in self.windows if window.invalid]

    @property
    def broken_rules(self) -> list[str]:
        """The validity rules that windows of the cell break, each once."""
        return list(dict.fromkeys(invalidity.rule for window in self.windows for invalidity in window.invalid))

    def find_windows(self, measure: Measure) -> list[Window]:
        """The windows that count for a measure."""
        return [window for window in self.windows if measure.counts(window)]

    def read_values(self, measure: Measure) -> dict[int, float]:
        """The measure's values by round, of the windows that count and have a value. A value of 0 was not measured."""
        values: dict[int, float] = {}
        for window in self.find_windows(measure):
            with contextlib.suppress(KeyError, TypeError, ZeroDivisionError):  # no such part, no rate, no request
                values[window.round] = measure.read(window)
        return {number: value for number, value in values.items() if value}

    def find_median(self, measure: Measure) -> Interval | None:
        """The measure's median over the rounds with its interval; None without a window that counts."""
        values = self.read_values(measure)
        return find_median(list(values.values())) if values else None

    def find_percentiles(self, *shares: float) -> list[float]:
        """Percentiles (ms) of all answers of the windows whose latency counts; empty where no times were kept."""
        times: Counter[float] = Counter()
        for window in self.find_windows(P99):
            times.update({float(time): count for time, count in window.times.items()})
        ordered, total = sorted(times.items()), times.total()
        if not total:
            return []
        reached = list(itertools.accumulate(count for _, count in ordered))
        return [ordered[bisect.bisect_right(reached, min(share * total, total - 1))][0] for share in shares]

    def find_lower_bound(self, measure: Measure) -> float | None:
        """Requests per second that the stack reached at least, where the generator was the limit of every window.

        None for another measure, and where a window counts.
        """
        saturated = [window for window in self.windows if window.rules == {ValidityRule.GENERATOR}]
        if measure is not THROUGHPUT or self.find_median(measure) or not saturated:
            return None
        return statistics.median(measure.read(window) for window in saturated)

    def describe_invalidities(self) -> list[tuple[int, str]]:
        """For each broken validity rule, the number of windows that break the rule, and the reasons."""
        reasons_of: dict[str, list[str]] = {}
        for window in self.windows:
            for invalidity in window.invalid:
                reasons_of.setdefault(invalidity.rule, []).append(invalidity.reason)
        return [(len(reasons), f"{rule}: {shorten(reasons)}") for rule, reasons in reasons_of.items()]


def shorten(reasons: list[str]) -> str:
    """The first two different reasons, and how many more there are."""
    different = list(dict.fromkeys(reasons))
    more = f"; and {len(different) - 2} more like these" if len(different) > 2 else ""
    return "; ".join(different[:2]) + more


@dataclass
class Run:
    """A run: its folder, its conditions (`machine`), and its cells in a fixed order, because each round's is random."""

    folder: Path
    machine: dict[str, Any]
    cells: dict[Cell, MeasuredCell]

    @property
    def name(self) -> str:
        """The name of the run, independent of its folder."""
        return str(self.machine.get("run", self.folder.name))

    @property
    def windows(self) -> list[Window]:
        """Every window of the run, by cell."""
        return [window for cell in self.cells.values() for window in cell.windows]

    @property
    def stack_cores(self) -> int:
        """How many cores the stack had; 0 where the conditions do not say."""
        return len(self.machine.get("placement", {}).get("stack", []))


def compare_pairs(run: Run, measure: Measure, mode: str) -> list[tuple[Cell, Interval]]:
    """The A/A pairs of a mode, each with the ratio of the second cell's values to the first's."""
    ratios = []
    for cell, second in run.cells.items():
        first = run.cells.get(cell._replace(pair=""))
        if cell.pair and cell.mode == mode and first:
            values = [measured.read_values(measure) for measured in (first, second)]
            if all(values):
                ratios.append((cell, pair_rounds(*values)))
    return ratios


def find(name: str) -> Path:
    """The folder of a run, by the run's name or its path; `Problem` names the runs that exist."""
    for folder in (RESULTS / name, Path(name)):
        if name and (folder / "runs.jsonl").is_file():
            return folder.resolve()
    raise Problem(f"{name} is not a run: {describe_runs()}")


def describe_runs() -> str:
    """The names of the runs that exist, in words."""
    names = sorted(file.parent.name for file in RESULTS.glob("*/runs.jsonl"))
    return f"there are {', '.join(names)}" if names else "there is none yet: `make bench` makes one"


def read(folder: Path) -> Run:
    """Reads a run; `Problem` says what is missing or cannot be read."""
    records, conditions = folder / "runs.jsonl", folder / "machine.json"
    for file in (records, conditions):
        if not file.is_file():
            raise Problem(f"{folder} is not a whole run: it has no {file.name}")
    cells, machine = read_cells(records), parse(conditions.read_text())
    if isinstance(machine, str):
        raise Problem(f"{conditions} {machine}")
    run = Run(folder, machine, cells)
    set_slowness(run.windows)
    return run


def read_cells(file: Path) -> dict[Cell, MeasuredCell]:
    """The cells of a `runs.jsonl`, sorted."""
    cells: dict[Cell, MeasuredCell] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        record = parse_record(line)
        if isinstance(record, str):
            raise Problem(f"line {number} of {file} {record}: remove it, or measure again")
        cell = read_cell(record)
        measured = cells.setdefault(cell, MeasuredCell(cell))
        if "unmeasured" in record:
            measured.unmeasured = record["unmeasured"]
        else:
            measured.windows.append(read_window(record))
    if not cells:
        raise Problem(f"{file} is empty: nothing was measured")
    return dict(sorted(cells.items()))


def set_slowness(windows: list[Window]) -> None:
    """Sets how much slower the stack's cores were than in the run's fastest tenth, by the machine-speed probe."""
    if times := sorted(window.probe_time for window in windows if window.probe_time):
        usual = times[len(times) // 10]
        for window in windows:
            window.slowness = window.probe_time / usual or 1.0


def parse(text: str) -> dict[str, Any] | str:
    """A JSON object, or what is wrong with the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return "is not JSON"
    return value if isinstance(value, dict) else "is not a JSON object"


def parse_record(line: str) -> dict[str, Any] | str:
    """A record as a JSON object, or what is wrong with the line."""
    record = parse(line)
    if isinstance(record, str):
        return record
    required = {"scenario", "server"} | (set() if "unmeasured" in record else set(REQUIRED))
    missing = sorted(name for name in required if find_value(record, name) is None)
    return f"lacks {', '.join(missing)}" if missing else record
