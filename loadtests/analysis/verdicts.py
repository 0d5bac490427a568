"""The verdicts on run B against run A: faster, slower or tie, for each cell and for each server. Standard library only.

A cell at its ceiling is judged by its CPU time per request and by its requests per second, a cell at the fixed rate by
its latency and its CPU time (`measures.JUDGED`). The machine's drift between the runs is removed first
(`intervals.remove_drift`). Then the intervals are widened by the excess spread between the runs
(`intervals.measure_excess`).
"""

import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from loadtests.analysis import intervals
from loadtests.analysis.intervals import Interval
from loadtests.analysis.measures import SERVER, Measure
from loadtests.analysis.records import Run, compare_pairs
from loadtests.analysis.wording import format_number
from loadtests.window import NO_SERVER, Cell

MANY_CELLS = 2.24 / 1.96  # 97.5 % in place of 95 %, because a table of cells has some fifty verdicts
VERDICTS = ("faster", "slower", "tie", "not compared")


class ComparisonLine(NamedTuple):
    """A cell of two runs: its medians `a` and `b` in the measure's unit, as text; B / A without drift; the verdict."""

    cell: Cell
    a: str
    b: str
    ratio: Interval | None
    verdict: str


class Ratios(NamedTuple):
    """The ratios B / A of the cells that both runs have in a mode, without the drift.

    `drift` is the ratio that was removed, `reference` names the cells that it was read from ("" where it is unknown).
    """

    by_cell: dict[Cell, Interval]
    drift: float
    reference: str


class Comparison(NamedTuple):
    """The verdicts on one measure, and how they were reached.

    `times`: their intervals are so many times as wide as the runs' own. `holding_1` counts the runs' own intervals that
    hold 1. `floor` is the noise floor as a ratio, and 1 where there are enough cells to do without.
    """

    measure: Measure
    lines: list[ComparisonLine]
    times: float
    holding_1: int
    floor: float


def find_ratios(a: Run, b: Run, mode: str, measure: Measure) -> Ratios:
    """How a measure differs between two runs, in each cell of a mode."""
    first, second = (read_values(run, mode, measure) for run in (a, b))
    common = [cell for cell in first if cell in second]
    reference_cells, reference = common, f"the median of all {len(common)} cells"
    if len(common) < intervals.ENOUGH:  # so few that a changed cell would move the median
        reference_cells = [cell for cell in common if cell.server == NO_SERVER]
        reference = "the proxies' own answers" if reference_cells else ""
    (first, second), drift = intervals.remove_drift(first, second, reference_cells)
    medians = {cell: [intervals.find_median(list(run[cell].values())) for run in (second, first)] for cell in common}
    return Ratios({cell: intervals.divide(*pair) for cell, pair in medians.items()}, drift, reference)


def read_values(run: Run, mode: str, measure: Measure) -> dict[Cell, dict[int, float]]:
    """The values of a measure by cell and round, of the cells that have any."""
    values = {cell: measured.read_values(measure) for cell, measured in run.cells.items() if cell.mode == mode}
    return {cell: rounds for cell, rounds in values.items() if rounds}


def judge_cells(
    a: Run, b: Run, mode: str, measure: Measure, ratios: Mapping[Cell, Interval], times: float = MANY_CELLS
) -> Comparison:
    """The verdict on each ratio, by the spread of all ratios; where they are few, by the noise floor of A/A pairs."""
    times *= intervals.measure_excess(list(ratios.values()))
    floor = 1.0 if len(ratios) >= intervals.ENOUGH else max(find_floor(run, mode, measure) for run in (a, b))
    lines = []
    for cell, own_ratio in sorted(ratios.items()):
        ratio = intervals.widen(own_ratio, times)
        verdict = intervals.judge(ratio, floor, measure.more_is_better)
        lines.append(ComparisonLine(cell, describe(a, cell, measure), describe(b, cell, measure), ratio, verdict))
    lines.sort(key=lambda line: VERDICTS.index(line.verdict))
    holding_1 = sum(ratio.low <= 1 <= ratio.high for ratio in ratios.values())
    return Comparison(measure, lines, times, holding_1, floor)


def find_floor(run: Run, mode: str, measure: Measure) -> float:
    """The noise floor of a run."""
    return intervals.find_noise_floor([ratio for _, ratio in compare_pairs(run, measure, mode)])


def list_uncompared(
    a: Run, b: Run, mode: str, measure: Measure, ratios: Mapping[Cell, Interval]
) -> list[ComparisonLine]:
    """The cells that both runs have, but without a ratio."""
    cells = sorted({cell for cell in a.cells.keys() & b.cells.keys() if cell.mode in (mode, "")} - ratios.keys())
    return [
        ComparisonLine(cell, describe(a, cell, measure), describe(b, cell, measure), None, "not compared")
        for cell in cells
    ]


def judge_servers(a: Run, b: Run) -> Comparison:
    """The verdict on each server by the CPU time of its application, over all its cells.

    A server's cells, direct and behind each proxy, all run the same code. Together they show a difference that noise
    hides in a single cell. The ceilings of a server count. Its cells at the fixed rate count only without a ceiling.
    """
    cells: dict[Cell, dict[Cell, Interval]] = {}
    for mode in ("ceiling", "rate"):
        by_server: dict[Cell, dict[Cell, Interval]] = {}
        for cell, ratio in find_ratios(a, b, mode, SERVER).by_cell.items():
            if cell.server != NO_SERVER:
                by_server.setdefault(cell._replace(route="", http="1.1", mode="", pair=""), {})[cell] = ratio
        cells = by_server | cells
    pooled = {server: intervals.pool(list(ratios.values())) for server, ratios in cells.items()}
    comparison = judge_cells(a, b, "ceiling", SERVER, pooled, times=1)
    lines = [
        line._replace(a=describe_mean(a, cells[line.cell]), b=describe_mean(b, cells[line.cell]))
        for line in comparison.lines
    ]
    return comparison._replace(lines=lines)


def describe_mean(run: Run, cells: Iterable[Cell]) -> str:
    """The CPU time of an application per request over cells, in µs: the geometric mean."""
    medians = [run.cells[cell].find_median(SERVER) for cell in cells]
    return format_number(statistics.geometric_mean(median.middle for median in medians if median))


def describe(run: Run, cell: Cell, measure: Measure) -> str:
    """A cell's median in a run, or in a word why there is none."""
    measured = run.cells.get(cell)
    if measured is None:
        return "–"
    if median := measured.find_median(measure):
        return format_number(median.middle)
    if bound := measured.find_lower_bound(measure):
        return f"≥ {format_number(bound)}"
    return "invalid" if measured.windows else "unmeasured"
