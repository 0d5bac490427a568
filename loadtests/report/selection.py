"""What findings are made of: the cells of a scenario, facts of their users, ratios, and their words."""

from collections.abc import Sequence
from typing import Any

from loadtests.analysis import intervals
from loadtests.analysis.intervals import Interval
from loadtests.analysis.measures import Measure
from loadtests.analysis.records import MeasuredCell, Run
from loadtests.analysis.wording import format_interval, format_number
from loadtests.scenarios import scenarios
from loadtests.window import Cell


def select_cells(run: Run, scenario: str, **fields: Any) -> dict[Cell, MeasuredCell]:
    """The cells of a scenario that have these fields, without the second cells of A/A pairs."""
    return {
        cell: measured
        for cell, measured in run.cells.items()
        if cell.scenario == scenario
        and not cell.pair
        and all(getattr(cell, name) == value for name, value in fields.items())
    }


def read_user_fact(cell: Cell, name: str, default: Any) -> Any:
    """A fact of a cell's user; the default where the scenario no longer exists."""
    scenario = scenarios().get(cell.scenario)
    if not scenario or cell.variant not in (*scenario.users, ""):
        return default
    return scenario.user(cell.variant).get(name, default)


def read_digits(text: str) -> int:
    """The number that a name contains, such as 100 in "Wait100"; 0 without digits."""
    return int("".join(filter(str.isdigit, text)) or 0)


def divide(dividend: dict[int, float], divisor: dict[int, float]) -> Interval | None:
    """The ratio of two cells' values, round by round; None where either has no values."""
    return intervals.pair_rounds(divisor, dividend) if dividend and divisor else None


def compare_cells(dividend: MeasuredCell, divisor: MeasuredCell, measure: Measure) -> tuple[list[str], Interval | None]:
    """The medians of two cells and the ratio of their values, as texts; and the ratio itself, if there is one."""
    ratio = divide(dividend.read_values(measure), divisor.read_values(measure))
    medians = [measured.find_median(measure) for measured in (dividend, divisor)]
    return [format_or_dash(figure) for figure in (*medians, ratio)], ratio


def format_or_dash(interval: Interval | None) -> str:
    """A median with its interval, or a dash."""
    return format_interval(interval) if interval else "–"


def format_range(values: Sequence[float], unit: str = "") -> str:
    """Values in words: from the least to the most."""
    ends = dict.fromkeys(format_number(value) for value in (min(values), max(values)))
    return " to ".join(ends) + unit
