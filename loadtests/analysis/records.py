"""What a run measured: `runs.jsonl` and `machine.json`, read into cells. Nothing is dropped: gated windows stay.

A window is one measurement, a cell what is measured anew in every round. Standard library only.
"""

import bisect
import contextlib
import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.analysis.intervals import Interval, median, paired
from loadtests.window import NO_SERVER, REQUIRED, Cell, Window, find_value, read_cell, read_window
from stack import ROOT, Problem

RESULTS = ROOT / "loadtests/results"
SATURATED = "generator"  # the gate of a window in which the generator, not the stack, was the limit
# CPU time and memory are a container's own: with others on up to half of the cores a request cost the same within 10 %,
# beyond that up to 75 % more. They count in spite of these gates, and up to there; throughput and latency do not.
OWN, HALF = (SATURATED, "machine"), 0.5


class Figure(NamedTuple):
    """What is read off a window."""

    name: str
    unit: str
    of: Callable[[Window], float]
    more_is_better: bool = False
    despite: tuple[str, ...] = ()  # the gates that do not spoil it

    def counts(self, window: Window) -> bool:
        """Whether a window counts for this figure."""
        return window.rules <= {*self.despite} and window.others <= HALF


def cpu(*parts: str) -> Callable[[Window], float]:
    """CPU time of some parts per request, in microseconds."""
    return lambda window: 1e6 * sum(window.cpu.get(part, 0.0) for part in parts) / window.requests


def steady(*parts: str) -> Callable[[Window], float]:
    """CPU time of some containers per request, in microseconds of the stack's cores at their usual fastest."""
    return lambda window: cpu(*parts)(window) / window.slowness


def held(when: str, part: str) -> Callable[[Window], float]:
    """A container's memory, in MiB: `memory_warm` before the first window, `memory_peak` at most, `memory` after this one."""
    return lambda window: getattr(window, when)[part] / 2**20


def per_second(window: Window) -> float:
    """Requests a second."""
    return window.requests / window.seconds


COST = Figure("CPU per request, app + proxy", "µs", steady("app", "proxy"), despite=OWN)
APP = Figure("CPU per request, app", "µs", steady("app"), despite=OWN)
PROXY = Figure("CPU per request, proxy", "µs", steady("proxy"), despite=OWN)
ENGINE = Figure("CPU per request, engine", "µs", cpu("engine"), despite=OWN)  # it keeps the proxies' logs
GENERATOR = Figure("CPU per request, generator", "µs", cpu("generator"), despite=OWN)
SENT = Figure(
    "requests per CPU second of the generator",
    "/s",
    lambda window: window.requests / window.cpu["generator"],
    True,
    OWN,
)
CEILING = Figure("requests per second", "/s", per_second, True)
P50 = Figure("median latency", "ms", lambda window: window.latency["p50"])
P99 = Figure("99th percentile of latency", "ms", lambda window: window.latency["p99"])
SERVER = Figure(  # of a baseline the proxy's, which tells the machine's drift
    "CPU per request, app, over all cells",
    "µs",
    lambda window: (PROXY if window.cell.server == NO_SERVER else APP).of(window),
    despite=OWN,
)
DELIVERED = Figure("delivered / offered", "", lambda window: per_second(window) / (window.offered or math.nan), True)
WARM = Figure("memory of the app after warm-up", "MiB", held("memory_warm", "app"), despite=OWN)
PEAK = Figure("memory of the app at most", "MiB", held("memory_peak", "app"), despite=OWN)
PROXY_PEAK = Figure("memory of the proxy at most", "MiB", held("memory_peak", "proxy"), despite=OWN)
# What a cell is judged by, the headline first. At the ceiling the CPU time repeats within 2 to 5 %, at the rate, where
# the stack mostly waits, within 15 to 30 %: the rate is for latency.
JUDGED = (("ceiling", COST), ("ceiling", CEILING), ("rate", P50), ("rate", COST))


@dataclass
class Record:
    """A cell and its windows, in the order of the run."""

    cell: Cell
    windows: list[Window] = field(default_factory=list)
    unmeasured: str = ""

    @property
    def gated(self) -> list[Window]:
        """The windows with a gate."""
        return [window for window in self.windows if window.invalid]

    @property
    def label(self) -> str:
        """The cell without its scenario and mode, for people."""
        return label(self.cell)

    def counted(self, figure: Figure) -> list[Window]:
        """The windows that count for a figure: those without a gate, but for one that does not spoil it."""
        return [one for one in self.windows if figure.counts(one)]

    def values(self, figure: Figure) -> dict[int, float]:
        """The figure by round, of the windows that count and have it: 0 is what was not there to be measured."""
        found: dict[int, float] = {}
        for window in self.counted(figure):
            with contextlib.suppress(KeyError, TypeError, ZeroDivisionError):  # no such part, no rate, no request
                found[window.round] = figure.of(window)
        return {key: value for key, value in found.items() if value}

    def median(self, figure: Figure) -> Interval | None:
        """The figure's median over the rounds and its interval; None without a window that counts."""
        values = self.values(figure)
        return median(list(values.values())) if values else None

    def pooled(self, *shares: float) -> list[float]:
        """Percentiles (ms) of all answers of the windows whose latency counts; empty where no times were kept."""
        times: Counter[float] = Counter()
        for window in self.counted(P99):
            times.update({float(time): count for time, count in window.times.items()})
        ordered, total = sorted(times.items()), times.total()
        if not total:
            return []
        reached = list(itertools.accumulate(count for _, count in ordered))
        return [ordered[bisect.bisect_right(reached, min(share * total, total - 1))][0] for share in shares]

    def bound(self, figure: Figure) -> float | None:
        """Requests per second that a stack reached at least: the median where only the generator was the limit.

        None for another figure, and where a window counts.
        """
        saturated = [window for window in self.windows if window.rules == {SATURATED}]
        if figure is not CEILING or self.median(figure) or not saturated:
            return None
        return statistics.median(figure.of(window) for window in saturated)

    def reasons(self) -> list[tuple[int, str]]:
        """Why windows are gated: for each gate in how many windows, and the reasons."""
        found: dict[str, list[str]] = {}
        for window in self.gated:
            for invalidity in window.invalid:
                found.setdefault(invalidity.rule, []).append(invalidity.reason)
        told = []
        for gate, whys in found.items():
            first, more = (kinds := list(dict.fromkeys(whys)))[:2], len(kinds) - 2
            told.append((len(whys), f"{gate}: {'; '.join(first)}{f'; and {more} more like these' * (more > 0)}"))
        return told


def label(cell: Cell, always: Container[str] = ()) -> str:
    """A cell's server, interface and, where they are not the usual ones or asked for, its app, workers and protocol."""
    unusual = {"app": cell.app != "bare", "workers": cell.workers > 1, "http": cell.http != "1.1"}
    words = {
        "app": cell.app,
        "workers": f"{cell.workers} worker{'s' * (cell.workers > 1)}" if cell.server != NO_SERVER else "",
        "http": f"HTTP/{cell.http}",
    }
    more = [words[name] for name in words if unusual[name] or name in always]
    first = "no application server" if cell.server == NO_SERVER else cell.server
    return " ".join(filter(None, [first, cell.interface, *more, cell.pair]))


@dataclass
class Run:
    """A run: its folder, the machine and conditions it names, and its cells in their order: a round's is random."""

    folder: Path
    machine: dict[str, Any]
    records: dict[Cell, Record]

    @property
    def name(self) -> str:
        """The name of the run, wherever it lies."""
        return str(self.machine.get("run", self.folder.name))

    @property
    def windows(self) -> int:
        """How many windows were measured."""
        return sum(len(record.windows) for record in self.records.values())


def pairs(run: Run, figure: Figure, mode: str) -> list[tuple[Cell, Interval]]:
    """The A/A pairs of a mode, each with the ratio of the second name's figure to the first's."""
    found = []
    for cell, record in run.records.items():
        first = run.records.get(cell._replace(pair=""))
        if cell.pair and cell.mode == mode and first and record.median(figure) and first.median(figure):
            found.append((cell, paired(first.values(figure), record.values(figure))))
    return found


def find(given: str) -> Path:
    """The folder of a run, given by its name or path; `Problem` names the runs that exist."""
    for folder in (RESULTS / given, Path(given)):
        if given and (folder / "runs.jsonl").is_file():
            return folder.resolve()
    raise Problem(f"{given} is not a run: {known()}")


def known() -> str:
    """The runs that there are, in words."""
    found = sorted(file.parent.name for file in RESULTS.glob("*/runs.jsonl"))
    return f"there are {', '.join(found)}" if found else "there is none yet: `make bench` makes one"


def read(folder: Path) -> Run:
    """A run; `Problem` says what of it is missing or cannot be read."""
    file, machine = folder / "runs.jsonl", folder / "machine.json"
    for one in (file, machine):
        if not one.is_file():
            raise Problem(f"{folder} is not a whole run: it has no {one.name}")
    records: dict[Cell, Record] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        entry = parse(line)
        if isinstance(entry, str):
            raise Problem(f"line {number} of {file} {entry}: remove it, or measure again")
        cell = read_cell(entry)
        record = records.setdefault(cell, Record(cell))
        if "unmeasured" in entry:
            record.unmeasured = entry["unmeasured"]
        else:
            record.windows.append(read_window(entry))
    if not records:
        raise Problem(f"{file} is empty: nothing was measured")
    gauged([window for record in records.values() for window in record.windows])
    conditions = parse(machine.read_text(), window=False)
    if isinstance(conditions, str):
        raise Problem(f"{machine} {conditions}")
    return Run(folder, conditions, dict(sorted(records.items())))


def gauged(windows: list[Window]) -> None:
    """Says of each window how much slower the stack's cores were than in the run's fastest tenth, by the gauge."""
    if times := sorted(window.probe_time for window in windows if window.probe_time):
        usual = times[len(times) // 10]
        for window in windows:
            window.slowness = window.probe_time / usual or 1.0


def parse(text: str, window: bool = True) -> dict[str, Any] | str:
    """A JSON object, or what is wrong with it."""
    try:
        found = json.loads(text)
    except ValueError:
        return "is not JSON"
    if not isinstance(found, dict):
        return "is not a JSON object"
    required = {"scenario", "server"} | (set() if "unmeasured" in found else set(REQUIRED))
    if window and (missing := sorted(name for name in required if find_value(found, name) is None)):
        return f"lacks {', '.join(missing)}"
    return found
