"""The finding of the scenario slow: up to how many slow clients the others do not suffer."""

from collections.abc import Mapping, Sequence

from loadtests.analysis.intervals import Interval
from loadtests.analysis.measures import P99
from loadtests.analysis.records import MeasuredCell, Run
from loadtests.analysis.validity import TOLERATED_FOR_CONTAINER
from loadtests.analysis.wording import format_interval, name_cell_and_route
from loadtests.report.cells import describe_absence
from loadtests.report.model import Part, Table, join_sentences
from loadtests.report.selection import read_digits, read_user_fact, select_cells
from loadtests.window import Cell

SUFFERING = 2  # times the p99 without slow clients
SUFFERS, UNKNOWN = "(!)", "?"
NAMES = 4  # cells that the answer names for each number of clients

ByClients = Mapping[int, MeasuredCell]  # one server on one route, by the number of slow clients


def find_slow_clients(run: Run, scenario: str) -> Part | None:
    """Up to how many slow clients the others do not suffer: their p99 is at most twice the p99 without slow clients."""
    rows: dict[Cell, dict[int, MeasuredCell]] = {}
    for cell, measured in select_cells(run, scenario, mode="rate").items():
        clients = read_user_fact(cell, "companions", read_digits(cell.variant))
        rows.setdefault(cell._replace(variant=""), {})[clients] = measured
    numbers = sorted({clients for row in rows.values() for clients in row})
    if not numbers[1:]:
        return None
    lines: list[list[str]] = []
    groups: dict[tuple[int, str], list[str]] = {}
    for cell, row in rows.items():
        marks = judge_row(row, numbers)
        most, words = describe_tolerance(marks)
        groups.setdefault((most, words), []).append(name_cell_and_route(cell))
        figures = [f"{describe_p99(row.get(clients))} {marks[clients]}".strip() for clients in numbers]
        lines.append([name_cell_and_route(cell), *figures, words])
    columns = ["server", *(f"{clients} slow: p99, ms" for clients in numbers), "do not suffer up to"]
    return Part(
        "With how many slow clients do the others not suffer?",
        join_sentences(describe_groups(groups)),
        tables=[Table(columns, lines)],
        text=f"{SUFFERS}: the p99 is more than {SUFFERING} times the p99 without slow clients, or there were errors, "
        f"or the rate was not delivered. {UNKNOWN}: not known.",
    )


def judge_row(row: ByClients, numbers: Sequence[int]) -> dict[int, str]:
    """For each number of slow clients, whether the others suffer: "", "(!)" or "?"."""
    usual = row[0].find_median(P99) if 0 in row else None
    return {clients: judge_suffering(row.get(clients), usual) for clients in numbers}


def judge_suffering(measured: MeasuredCell | None, usual: Interval | None) -> str:
    """Whether others suffer in a cell. "?" where the machine or the generator, not the server, hides the answer."""
    windows = (
        [window for window in measured.windows if not window.rules & {*TOLERATED_FOR_CONTAINER}] if measured else []
    )
    if not (measured and usual and windows):
        return UNKNOWN
    median = measured.find_median(P99)
    most_count = 2 * len(measured.find_windows(P99)) > len(windows)
    return "" if median and most_count and median.middle <= SUFFERING * usual.middle else SUFFERS


def describe_tolerance(marks: Mapping[int, str]) -> tuple[int, str]:
    """The most slow clients before the first mark, as a number (-1 for none) and in words."""
    first_marked = next((clients for clients, mark in marks.items() if mark), None)
    tolerated = [clients for clients in marks if first_marked is None or clients < first_marked]
    if not tolerated:
        return -1, "not known"
    is_open = first_marked is None or marks[first_marked] == UNKNOWN
    return max(tolerated), f"{max(tolerated)}{' or more' if is_open else ''}"


def describe_groups(groups: Mapping[tuple[int, str], Sequence[str]]) -> str:
    """The cells by the most slow clients that they tolerate."""
    clauses = {words: names for (most, words), names in sorted(groups.items()) if most >= 0}
    return "; ".join(f"up to {words} slow clients: {shorten(names)}" for words, names in clauses.items()) or (
        "no window counts"
    )


def shorten(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")


def describe_p99(measured: MeasuredCell | None) -> str:
    """A cell's p99, or why there is none."""
    median = measured.find_median(P99) if measured else None
    if median:
        return format_interval(median)
    return describe_absence(measured) if measured and measured.broken_rules else "–"
