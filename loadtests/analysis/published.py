"""What others published about these servers, beside what a run found: only ratios, which travel between machines.

A figure is contradicted where our interval leaves it out, and the noise floor does not explain it. That says something
of the figure under our conditions, not that it was wrong under its own: both are printed.
"""

from typing import NamedTuple

from loadtests.analysis import intervals, records
from loadtests.analysis.records import Record, Run
from loadtests.report.grid import Part, Table, sentences, shown
from loadtests.report.plots import number
from loadtests.window import Cell


class Figure(NamedTuple):
    """A published ratio of two servers' requests per second."""

    first: tuple[str, str]  # server, interface
    second: tuple[str, str]
    ratio: float
    source: str
    conditions: str
    least: bool = False  # "reaches": more is no contradiction


GRANIAN = "Granian's benchmarks/vs.md of 2025-05-21 (2.3.1)"
GRANIAN_OLD = "Granian's benchmarks/vs.md of 2024-07-07 (1.5.0)"
TEN = "10 kB, one worker, the best of several numbers of connections, 16 cores, Python 3.12"
HOSTED = "GET, one worker, the best of several numbers of connections, 4 hosted cores, Python 3.11"
FIGURES = (
    Figure(
        *(("gunicorn", "asgi"), ("uvicorn", "asgi"), 0.95),
        *("said of gunicorn's ASGI worker; we know no page with the measurement", "not published"),
        least=True,
    ),
    Figure(("granian", "asgi"), ("uvicorn", "asgi"), 121065 / 39694, GRANIAN, TEN),
    Figure(("granian", "asgi"), ("uvicorn", "asgi"), 43263 / 37121, GRANIAN_OLD, HOSTED),
    Figure(("granian", "asgi"), ("hypercorn", "asgi"), 121065 / 6575, GRANIAN, TEN),
    Figure(("granian", "wsgi"), ("gunicorn", "wsgi"), 123487 / 6345, GRANIAN, TEN),
    Figure(("granian", "wsgi"), ("gunicorn", "wsgi"), 38024 / 3637, GRANIAN_OLD, HOSTED),
    Figure(("granian", "wsgi"), ("granian", "asgi"), 123487 / 121065, GRANIAN, TEN),
)


def ours(run: Run, pair: tuple[str, str]) -> Record | None:
    """A server's own ceiling: hello, direct, one worker."""
    cell = Cell("hello", pair[0], pair[1], "bare", "direct", mode="ceiling")
    fits = (one for one in run.records if one._replace(threads=0) == cell)
    return run.records.get(next(fits, cell))


def verdict(figure: Figure, run: Run, floor: float) -> tuple[str, str]:
    """Our ratio, and whether it contradicts the published one."""
    records_of = [ours(run, pair) for pair in (figure.first, figure.second)]
    first, second = (one.values(records.CEILING) if one else {} for one in records_of)
    least = records_of[0].bound(records.CEILING) if records_of[0] else None
    if least and (under := records_of[1] and records_of[1].median(records.CEILING)):
        found = least / under.middle  # the generator was the limit: the ratio is at least this
        known = figure.least and found >= figure.ratio
        return f"≥ {number(found)}", "agrees" if known else "contradicts" if found > figure.ratio * floor else "open"
    if not (first and second):
        return "–", "not in this run"
    ratio = intervals.paired(second, first)
    low, high = ratio.low / floor, ratio.high * floor
    if figure.least and low < figure.ratio <= high:
        return shown(ratio), "open"
    agrees = figure.ratio <= high and (figure.least or figure.ratio >= low)
    return shown(ratio), "agrees" if agrees else "contradicts"


def part(run: Run) -> Part | None:
    """The published figures whose servers are in the run; None where none is."""
    floor = intervals.noise_floor([one for _, one in records.pairs(run, records.CEILING, "ceiling")])
    lines, contradicted, compared = [], 0, 0
    for figure in FIGURES:
        found, said = verdict(figure, run, floor)
        if said == "not in this run":
            continue
        compared += 1
        contradicted += said == "contradicts"
        what = f"{' '.join(figure.first)} ÷ {' '.join(figure.second)}"
        published = f"{'at least ' if figure.least else ''}{figure.ratio:.2f}"
        lines.append([what, published, found, said, figure.source, figure.conditions])
    if not lines:
        return None
    connections = {
        window.clients for record in run.records.values() for window in record.windows if record.cell.mode == "ceiling"
    }
    cores = len(run.machine.get("placement", {}).get("stack", [])) or "?"
    here = ", ".join(str(one) for one in sorted(filter(None, connections))) or "?"
    return Part(
        "Do published ratios of requests per second hold here?",
        sentences(f"{contradicted} of {compared} are contradicted under our conditions"),
        tables=[Table(["ratio", "published", "here (95 %)", "this run", "source", "its conditions"], lines)],
        text="It agrees where our interval, or the noise floor around it, holds the published ratio. "
        f"Here: 14 bytes, one worker, {here} kept connections, direct, cores of the stack: {cores}.",
    )
