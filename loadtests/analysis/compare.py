"""`make compare A=<run> B=<run>`: is B faster, slower or neither, cell by cell. Standard library only.

A cell at its ceiling is judged by its CPU time per request (application and proxy) and by its requests per second, one
at the fixed rate by its latency and its CPU time (`records.JUDGED`). The machine's drift between the runs is taken out
first (`intervals.level`), and the intervals are widened by how much more the cells differ between the two than within
each (`intervals.excess`).
"""

import os
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from loadtests.analysis import intervals, records
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import JUDGED, SERVER, Figure, Run
from loadtests.report.plots import number
from loadtests.window import NO_SERVER, Cell
from stack import Problem, settings

MANY = 2.24 / 1.96  # 97.5 % in place of 95 %: a table of cells has some fifty verdicts
VERDICTS = ("faster", "slower", "tie", "not compared")


class Line(NamedTuple):
    """A cell of two runs: its figure in each as measured, the ratio without drift, and the verdict on B."""

    cell: Cell
    a: str
    b: str
    ratio: Interval | None
    verdict: str


class Ratios(NamedTuple):
    """The ratios B / A of the cells that both runs have in a mode, the drift taken out of them, and by what."""

    of: dict[Cell, Interval]
    drift: float
    reference: str


class Comparison(NamedTuple):
    """The verdicts on one figure, and what they stand on.

    Their intervals are `times` as wide as the runs' own, of which `held` held 1. The floor is a ratio, and 1 where the
    cells are enough to do without.
    """

    figure: Figure
    lines: list[Line]
    times: float
    held: int
    floor: float


def ratios(a: Run, b: Run, mode: str, figure: Figure) -> Ratios:
    """How a figure differs between two runs, in each cell of a mode."""
    first, second = (
        {
            cell: values
            for cell, record in run.records.items()
            if cell.mode == mode and (values := record.values(figure))
        }
        for run in (a, b)
    )
    common = [cell for cell in first if cell in second]
    cells, reference = common, f"the median of all {len(common)} cells"
    if len(common) < intervals.ENOUGH:  # too few to hide one that has changed
        cells = [cell for cell in common if cell.server == NO_SERVER]
        reference = "the proxies' own answers" if cells else ""
    runs, drift = intervals.level(first, second, cells)
    found = {cell: intervals.unpaired(*(intervals.median(list(run[cell].values())) for run in runs)) for cell in common}
    return Ratios(found, drift, reference)


def judge(a: Run, b: Run, mode: str, figure: Figure, found: Mapping[Cell, Interval], wide: float = MANY) -> Comparison:
    """The verdict on each ratio, by all of them; where they are few, by the noise floor of a mode's A/A pairs."""
    floor, times = 1.0, wide * intervals.excess(list(found.values()))
    if len(found) < intervals.ENOUGH:
        floor = max(intervals.noise_floor([ratio for _, ratio in records.pairs(run, figure, mode)]) for run in (a, b))
    lines = []
    for cell, own in sorted(found.items()):
        ratio = intervals.widened(own, times)
        verdict = intervals.verdict(ratio, floor, figure.more_is_better)
        lines.append(Line(cell, told(a, cell, figure), told(b, cell, figure), ratio, verdict))
    held = sum(own.low <= 1 <= own.high for own in found.values())
    return Comparison(figure, sorted(lines, key=lambda line: VERDICTS.index(line.verdict)), times, held, floor)


def rest(a: Run, b: Run, mode: str, figure: Figure, found: Mapping[Cell, Interval]) -> list[Line]:
    """The cells that both runs have, but without a ratio: what each says of them."""
    cells = sorted({cell for cell in a.records.keys() & b.records.keys() if cell.mode in (mode, "")} - found.keys())
    return [Line(cell, told(a, cell, figure), told(b, cell, figure), None, "not compared") for cell in cells]


def servers(a: Run, b: Run) -> Comparison:
    """The verdict on each server by the CPU time of its application, over all its cells.

    A server's cells, direct and behind each proxy, all run the same code: together they find a difference that each
    alone would lose in the noise. Its ceilings count; its cells at the fixed rate only where it has no other.
    """
    cells: dict[Cell, dict[Cell, Interval]] = {}
    for mode in ("ceiling", "rate"):
        found: dict[Cell, dict[Cell, Interval]] = {}
        for cell, ratio in ratios(a, b, mode, SERVER).of.items():
            if cell.server != NO_SERVER:
                found.setdefault(cell._replace(route="", http="1.1", mode="", pair=""), {})[cell] = ratio
        cells = found | cells
    pooled = {server: intervals.together(list(found.values())) for server, found in cells.items()}
    judged = judge(a, b, "ceiling", SERVER, pooled, wide=1)
    lines = [line._replace(a=mean(a, cells[line.cell]), b=mean(b, cells[line.cell])) for line in judged.lines]
    return judged._replace(lines=lines)


def mean(run: Run, cells: Iterable[Cell]) -> str:
    """The CPU time of an application per request, over cells: the geometric mean."""
    found = [run.records[cell].median(SERVER) for cell in cells]
    return number(statistics.geometric_mean(one.middle for one in found if one))


def told(run: Run, cell: Cell, figure: Figure) -> str:
    """A cell's median in a run, or why there is none, in a word."""
    record = run.records.get(cell)
    if record is None:
        return "–"
    found, bound = record.median(figure), record.bound(figure)
    if found:
        return number(found.middle)
    return f"≥ {number(bound)}" if bound else "gated" if record.windows else "unmeasured"


def aligned(rows: list[list[str]]) -> str:
    """Rows as text: the first column to the left, figures to the right, the last to the left again."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *middle, last = row
        cells = [first.ljust(widths[0]), *(one.rjust(width) for one, width in zip(middle, widths[1:], strict=False))]
        lines.append("  ".join(["", *cells, last]).rstrip())
    return "\n".join(lines)


def text(a: Run, b: Run) -> str:
    """Both runs side by side; `Problem` if they have no cell in common."""
    if not a.records.keys() & b.records.keys():
        raise Problem(f"{a.name} and {b.name} have no cell in common: compare runs of the same scenarios and servers")
    several = len({cell.scenario for run in (a, b) for cell in run.records}) > 1
    only = [len(one.records.keys() - other.records.keys()) for one, other in ((a, b), (b, a))]
    parts = [f"A  {a.name}\nB  {b.name}", *differences(a, b)]
    parts += [f"Left out: {only[0]} cells that only A has, and {only[1]} that only B has."] if any(only) else []
    total: Counter[str] = Counter()
    for mode, figure in JUDGED:
        found = ratios(a, b, mode, figure)
        judged = judge(a, b, mode, figure, found.of)
        judged.lines.extend(rest(a, b, mode, figure, found.of))
        if judged.lines:
            drift = f"The machine: ×{found.drift:.3f} from A to B, by {found.reference}; the ratios are without it."
            if not found.reference:
                drift = (
                    "The machine's drift is in the ratios: the cells are too few to tell it, and there is no baseline."
                )
            parts.append("\n".join([table(judged, f"{mode}: ", several), drift, *warning(found, judged)]))
        total.update(line.verdict for line in judged.lines)
    parts.append(table(servers(a, b), "servers: ", several))
    parts.append("Verdicts on cells: B is " + ", ".join(f"{total[verdict]} {verdict}" for verdict in VERDICTS))
    return "\n\n".join(parts)


def table(judged: Comparison, what: str, several: bool) -> str:
    """A comparison as text: what differs first."""
    unit = judged.figure.unit if judged.figure.unit != "/s" else ""
    rows = [[what + ", ".join(filter(None, [judged.figure.name, unit])), "A", "B", "B / A", "95 %", "B is"]]
    for line in judged.lines:
        ratio, cell = line.ratio, line.cell
        name = " ".join(filter(None, [cell.scenario * several, cell.variant, records.label(cell), cell.route]))
        span = [f"{ratio.middle:.3f}", f"{ratio.low:.3f}–{ratio.high:.3f}"] if ratio else ["", ""]
        rows.append([name, line.a, line.b, *span, line.verdict])
    ratios = sum(line.ratio is not None for line in judged.lines)
    wide = f"; here they are {judged.times:.2f} times as wide" if judged.times > 1 else ""
    said = f"{judged.held} of {ratios} intervals of the runs hold 1{wide}." if ratios else ""
    floor = f"Noise floor: {100 * (judged.floor - 1):.1f} %." if judged.floor > 1 else ""
    return "\n".join([aligned(rows), " ".join(filter(None, [said, floor]))])


def warning(found: Ratios, judged: Comparison) -> list[str]:
    """Said where the baselines moved otherwise than all cells: then what changed may be common to all servers."""
    moved = [ratio for cell, ratio in found.of.items() if cell.server == NO_SERVER]
    if not moved:
        return []
    ratio = intervals.widened(intervals.together(moved), judged.times)
    if intervals.verdict(ratio, judged.floor) == "tie":
        return []
    return [
        f"The proxies' own answers moved ×{found.drift * ratio.middle:.3f}: "
        "something that all servers share may have changed, which no verdict here tells."
    ]


def differences(a: Run, b: Run) -> list[str]:
    """The conditions in which two runs differ."""
    found = []
    for name in ("cpu", "cores", "kernel", "engine", "placement"):
        if a.machine.get(name) != b.machine.get(name):
            found.append(f"{name}: {a.machine.get(name)} → {b.machine.get(name)}")
    for part in ("versions", "parity"):
        first, second = (run.machine.get(part, {}) for run in (a, b))
        for name in sorted(first.keys() | second.keys()):
            if first.get(name) != second.get(name):
                found.append(f"{name}: {first.get(name, '–')} → {second.get(name, '–')}")
    found += [f"{run.name} was interrupted" for run in (a, b) if run.machine.get("interrupted")]
    return ["\n".join(["Not the same in both:", *(f"  {line}" for line in found)])] if found else []


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Compares the runs that A and B name."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    for name in ("A", "B"):
        if not environ.get(name):
            raise Problem(f"{name} is not given: make compare A=<run> B=<run>; {records.known()}")
    a, b = (records.read(records.find(environ[name])) for name in ("A", "B"))
    print(text(a, b))
