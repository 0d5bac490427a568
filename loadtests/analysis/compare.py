"""`make compare A=<run> B=<run>`: two runs side by side, with a verdict on each cell of B. Standard library only."""

import os
from collections import Counter
from collections.abc import Mapping

from loadtests.analysis import intervals, records
from loadtests.analysis.measures import JUDGED, Measure
from loadtests.analysis.records import Run
from loadtests.analysis.verdicts import (
    VERDICTS,
    Comparison,
    ComparisonLine,
    Ratios,
    find_ratios,
    judge_cells,
    judge_servers,
    list_uncompared,
)
from loadtests.analysis.wording import format_difference, name_cell
from loadtests.window import NO_SERVER
from stack import Problem, settings


def compare_runs(a: Run, b: Run) -> str:
    """Both runs side by side, as text; `Problem` if they have no cell in common."""
    if not a.cells.keys() & b.cells.keys():
        raise Problem(f"{a.name} and {b.name} have no cell in common: compare runs of the same scenarios and servers")
    with_scenario = len({cell.scenario for run in (a, b) for cell in run.cells}) > 1
    paragraphs = [f"A  {a.name}\nB  {b.name}", *describe_differences(a, b), *describe_left_out(a, b)]
    counts: Counter[str] = Counter()
    for mode, measure in JUDGED:
        comparison, text = compare_mode(a, b, mode, measure, with_scenario)
        paragraphs += [text] if text else []
        counts.update(line.verdict for line in comparison.lines)
    paragraphs.append(write_table(judge_servers(a, b), "servers: ", with_scenario))
    paragraphs.append("Verdicts on cells: B is " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS))
    return "\n\n".join(paragraphs)


def compare_mode(a: Run, b: Run, mode: str, measure: Measure, with_scenario: bool) -> tuple[Comparison, str]:
    """The comparison of one mode by one measure, and its text; "" where no run has such a cell."""
    ratios = find_ratios(a, b, mode, measure)
    comparison = judge_cells(a, b, mode, measure, ratios.by_cell)
    comparison.lines.extend(list_uncompared(a, b, mode, measure, ratios.by_cell))
    if not comparison.lines:
        return comparison, ""
    table = write_table(comparison, f"{mode}: ", with_scenario)
    return comparison, "\n".join([table, describe_drift(ratios), *warn_of_common_change(ratios, comparison)])


def describe_left_out(a: Run, b: Run) -> list[str]:
    """How many cells only one run has; nothing where both have the same cells."""
    only_a, only_b = len(a.cells.keys() - b.cells.keys()), len(b.cells.keys() - a.cells.keys())
    return [f"Left out: {only_a} cells that only A has, and {only_b} that only B has."] if only_a or only_b else []


def describe_drift(ratios: Ratios) -> str:
    """How the machine's speed changed between the runs."""
    if not ratios.reference:
        return "The ratios include the machine's drift, because there are too few cells and no baseline to measure it."
    return f"Machine drift: ×{ratios.drift:.3f} from A to B, by {ratios.reference}. The ratios exclude it."


def warn_of_common_change(ratios: Ratios, comparison: Comparison) -> list[str]:
    """A warning where the baselines moved unlike all cells: then what changed may be common to all servers."""
    own_answers = [ratio for cell, ratio in ratios.by_cell.items() if cell.server == NO_SERVER]
    if not own_answers:
        return []
    ratio = intervals.widen(intervals.pool(own_answers), comparison.times)
    if intervals.judge(ratio, comparison.floor) == "tie":
        return []
    return [
        f"The proxies' own answers moved ×{ratios.drift * ratio.middle:.3f}: "
        "something that all servers share may have changed. The verdicts do not show such a change."
    ]


def describe_differences(a: Run, b: Run) -> list[str]:
    """The conditions in which two runs differ; nothing where they are the same."""
    lines = []
    for name in ("cpu", "cores", "kernel", "engine", "placement"):
        if a.machine.get(name) != b.machine.get(name):
            lines.append(f"{name}: {a.machine.get(name)} → {b.machine.get(name)}")
    for part in ("versions", "parity"):
        first, second = (run.machine.get(part, {}) for run in (a, b))
        for name in sorted(first.keys() | second.keys()):
            if first.get(name) != second.get(name):
                lines.append(f"{name}: {first.get(name, '–')} → {second.get(name, '–')}")
    lines += [f"{run.name} was interrupted" for run in (a, b) if run.machine.get("interrupted")]
    return ["\n".join(["Not the same in both:", *(f"  {line}" for line in lines)])] if lines else []


def write_table(comparison: Comparison, title: str, with_scenario: bool) -> str:
    """A comparison as text. What differs comes first."""
    unit = comparison.measure.unit if comparison.measure.unit != "/s" else ""
    rows = [[title + ", ".join(filter(None, [comparison.measure.name, unit])), "A", "B", "B / A", "95 %", "B is"]]
    rows += [write_row(line, with_scenario) for line in comparison.lines]
    notes = []
    if count := sum(line.ratio is not None for line in comparison.lines):
        notes.append(f"{comparison.holding_1} of {count} intervals of the runs hold 1.")
    if count and comparison.times > 1:
        notes.append(f"Above, each interval is {comparison.times:.2f} times as wide.")
    if comparison.floor > 1:
        notes.append(f"Noise floor: {format_difference(comparison.floor)}.")
    return "\n".join([align(rows), " ".join(notes)])


def write_row(line: ComparisonLine, with_scenario: bool) -> list[str]:
    """A line of a comparison as the cells of a table."""
    ratio, cell = line.ratio, line.cell
    name = " ".join(filter(None, [cell.scenario * with_scenario, cell.variant, name_cell(cell), cell.route]))
    limits = [f"{ratio.middle:.3f}", f"{ratio.low:.3f}–{ratio.high:.3f}"] if ratio else ["", ""]
    return [name, line.a, line.b, *limits, line.verdict]


def align(rows: list[list[str]]) -> str:
    """Rows as text: the first and the last column to the left, the figures between them to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *figures, last in rows:
        aligned = [text.rjust(width) for text, width in zip(figures, widths[1:], strict=False)]
        lines.append("  ".join(["", first.ljust(widths[0]), *aligned, last]).rstrip())
    return "\n".join(lines)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Compares the runs that A and B name."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    for name in ("A", "B"):
        if not environ.get(name):
            raise Problem(f"{name} is not given: make compare A=<run> B=<run>; {records.describe_runs()}")
    a, b = (records.read(records.find(environ[name])) for name in ("A", "B"))
    print(compare_runs(a, b))
