"""Numbers, intervals, cells and routes as text: the same words in the comparison and in the report."""

import math
from collections.abc import Container

from loadtests.analysis.intervals import Interval
from loadtests.window import DIRECT, NO_SERVER, Cell

THIN_SPACE = "\u202f"


def format_number(value: float) -> str:
    """A number with three significant digits, and with thin spaces between thousands."""
    if not 0 < value < math.inf:
        return "0" if value <= 0 else "∞"
    if value >= 100:
        digits = max(0, len(str(int(value))) - 3) if value >= 1000 else 0
        return f"{round(value, -digits):,.0f}".replace(",", THIN_SPACE)
    return f"{value:.{2 - max(0, math.floor(math.log10(value)))}f}" if value >= 1 else f"{value:.2g}"


def format_interval(interval: Interval) -> str:
    """A median with its interval."""
    limits = f"{format_number(interval.low)}–{format_number(interval.high)}" if interval.n > 1 else "one round"
    return f"{format_number(interval.middle)} ({limits})"


def format_difference(ratio: float) -> str:
    """A ratio as its difference from 1, in percent."""
    return f"{100 * (ratio - 1):.1f} %"


def name_cell(cell: Cell, always: Container[str] = ()) -> str:
    """A cell's server and interface. App, workers and protocol follow where they are unusual, or named in `always`."""
    is_unusual = {"app": cell.app != "bare", "workers": cell.workers > 1, "http": cell.http != "1.1"}
    words = {
        "app": cell.app,
        "workers": f"{cell.workers} worker{'s' * (cell.workers > 1)}" if cell.server != NO_SERVER else "",
        "http": f"HTTP/{cell.http}",
    }
    details = [words[field] for field in words if is_unusual[field] or field in always]
    server = "no application server" if cell.server == NO_SERVER else cell.server
    return " ".join(filter(None, [server, cell.interface, *details, cell.pair]))


def name_route(route: str) -> str:
    """A route as words: direct, or behind a proxy."""
    return DIRECT if route == DIRECT else f"behind {route}"


def name_cell_and_route(cell: Cell) -> str:
    """A cell's server and route."""
    return f"{name_cell(cell)} {name_route(cell.route)}"


def name_question(cell: Cell) -> str:
    """The scenario of a cell, and its variant where the scenario has several."""
    return " ".join(filter(None, [cell.scenario, cell.variant]))
