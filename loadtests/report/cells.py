"""The cells of one scenario as rows and columns: a row for each server, a column for each route.

Cells that tie are not ranked. Rows that tie share a letter, and an answer names all rows that tie with
the first.
"""

from collections.abc import Mapping, Sequence

from loadtests.analysis import intervals
from loadtests.analysis.intervals import Interval
from loadtests.analysis.measures import Measure
from loadtests.analysis.records import MeasuredCell, Run, compare_pairs
from loadtests.analysis.wording import format_interval, format_number, name_cell, name_route
from loadtests.report.model import Table
from loadtests.window import DIRECT, NO_SERVER, Cell
from stack import proxies

OWN_ANSWER = "no application server: the proxy's own answer"
NOT_IN_RUN = "not in this run"
TIES_NAMED = 3  # rows that an answer names as tied with the first


class Grid:
    """The cells of a scenario's user in one mode, read by one measure."""

    def __init__(self, run: Run, scenario: str, variant: str, mode: str, measure: Measure) -> None:
        self.run, self.mode, self.measure = run, mode, measure
        self.cells = {
            cell._replace(mode=""): measured
            for cell, measured in run.cells.items()
            if (cell.scenario, cell.variant) == (scenario, variant) and cell.mode in (mode, "") and not cell.pair
        }
        baselines = [cell for cell in self.cells if cell.server == NO_SERVER]
        self.has_servers = len(baselines) < len(self.cells)
        one_per_route = len({cell.route for cell in baselines}) == len(baselines)  # several, as by protocol, are rows
        self.own_answers = {cell.route: self.cells[cell] for cell in baselines if one_per_route and self.has_servers}
        in_rows = [cell for cell in self.cells if not (cell in baselines and cell.route in self.own_answers)]
        self.routes = sorted({cell.route for cell in in_rows}, key=order_route)
        self.distinguishing = {
            name for name in ("app", "workers", "http") if len({getattr(cell, name) for cell in in_rows} - {""}) > 1
        }
        self.floor = intervals.find_noise_floor([ratio for _, ratio in compare_pairs(run, measure, mode)])
        self.rows = sorted(dict.fromkeys(cell._replace(route="") for cell in in_rows), key=self.order_row)

    @property
    def proxies(self) -> list[str]:
        """The routes through a proxy."""
        return [route for route in self.routes if route != DIRECT]

    def name_row(self, row: Cell) -> str:
        """A row's name: whatever tells the row from the others."""
        return name_cell(row, self.distinguishing)

    def name_column(self, route: str) -> str:
        """The name of a panel or a column."""
        return name_route(route) if self.has_servers else f"{route}'s own answer"

    def find_cell(self, row: Cell, route: str) -> MeasuredCell:
        """The cell of a row on a route; an empty cell if the run does not have it."""
        cell = row._replace(route=route)
        return self.cells.get(cell) or MeasuredCell(cell, unmeasured=NOT_IN_RUN)

    def order_row(self, row: Cell) -> tuple[bool, float, str]:
        """Where a row stands: by its figure on the first route that has one; rows without a figure are last."""
        for route in self.routes:
            median = self.find_median(row, route)
            if value := median.middle if median else self.find_cell(row, route).find_lower_bound(self.measure):
                return False, -value if self.measure.more_is_better else value, ""
        return True, 0, self.name_row(row)

    def find_median(self, row: Cell, route: str, measure: Measure | None = None) -> Interval | None:
        """A cell's median, of the grid's measure or another."""
        return self.find_cell(row, route).find_median(measure or self.measure)

    def list_medians(self, route: str, measure: Measure) -> list[float]:
        """A measure's medians of every row that has one on a route."""
        return [median.middle for row in self.rows if (median := self.find_median(row, route, measure))]

    def find_baseline(self, route: str) -> MeasuredCell | None:
        """The proxy's own answer, if the grid's measure of it was taken."""
        measured = self.own_answers.get(route)
        has_figure = measured and (measured.find_median(self.measure) or measured.find_lower_bound(self.measure))
        return measured if has_figure else None

    def is_tie(self, route: str, first: Cell, second: Cell) -> bool:
        """Whether two rows tie on a route."""
        values = [self.find_cell(row, route).read_values(self.measure) for row in (first, second)]
        return intervals.judge(intervals.pair_rounds(*values), self.floor) == "tie"

    def assign_letters(self, route: str) -> dict[Cell, str]:
        """The letters of the rows on a route: rows that share a letter tie."""
        rows = [row for row in self.rows if self.find_median(row, route)]
        letters = intervals.assign_letters(len(rows), lambda i, j: self.is_tie(route, rows[i], rows[j]))
        return dict(zip(rows, letters, strict=True))

    def find_ends(self, route: str) -> tuple[list[Cell], Cell] | None:
        """The best row with all that tie with it, and the last; None where nothing was measured."""
        servers = [row for row in self.rows if row.server != NO_SERVER] or self.rows
        middles = {row: median.middle for row in servers if (median := self.find_median(row, route))}
        if not middles:
            return None
        rows = sorted(middles, key=lambda row: middles[row], reverse=self.measure.more_is_better)
        return [rows[0], *(row for row in rows[1:] if self.is_tie(route, rows[0], row))], rows[-1]

    def describe(self, row: Cell, route: str, letters: str = "", measure: Measure | None = None) -> str:
        """A cell as text: the figure, its letters, and how many windows counted if not all did."""
        return describe_figure(self.find_cell(row, route), measure or self.measure, letters)

    def describe_baselines(self) -> list[str]:
        """The baselines as texts, one for each route; empty where there is no baseline."""
        baselines = [self.find_baseline(route) for route in self.routes]
        return [describe_figure(baseline, self.measure) if baseline else "–" for baseline in baselines] * any(baselines)

    def make_table(self) -> Table:
        """A row for each server, a column for each route, and the baselines."""
        letters = {route: self.assign_letters(route) for route in self.routes}
        lines = [
            [self.name_row(row), *(self.describe(row, route, letters[route].get(row, "")) for route in self.routes)]
            for row in self.rows
        ]
        lines += [[OWN_ANSWER, *baselines]] if (baselines := self.describe_baselines()) else []
        return Table(["server", *(f"{self.name_column(route)}, {self.measure.unit}" for route in self.routes)], lines)

    def describe_ends(self, route: str) -> str:
        """The first row on a route with all that tie with it, and the last, with their figures."""
        bounds = {
            row: bound for row in self.rows if (bound := self.find_cell(row, route).find_lower_bound(self.measure))
        }
        ends = self.find_ends(route)
        if not (ends or bounds):
            return f"{self.name_column(route)}: no window counts"
        words = ("most", "least") if self.measure.more_is_better else ("least", "most")
        clauses = []
        if ends:
            best, last = ends
            clauses.append(f"{words[0]} {self.format_figure(best[0], route)} ({self.name_tied(best)})")
            if last not in best:
                clauses.append(f"{words[1]} {self.format_figure(last, route)} ({self.name_row(last)})")
        text = f"{self.name_column(route)}: {self.describe_bounds(bounds)}"
        return text + (", ".join(clauses) if clauses else "no window counts")

    def describe_bounds(self, bounds: Mapping[Cell, float]) -> str:
        """The rows that were too fast for the generator, with what they reached at least."""
        if not bounds:
            return ""
        names = ", ".join(f"{self.name_row(row)} ≥ {format_number(bound)}{self.unit}" for row, bound in bounds.items())
        return f"{names} (the generator was the limit). Of the others: "

    def format_figure(self, row: Cell, route: str) -> str:
        """A median with its unit."""
        median = self.find_median(row, route)
        return format_number(median.middle) + self.unit if median else "–"

    @property
    def unit(self) -> str:
        """The unit as it follows a number."""
        return self.measure.unit if self.measure.unit.startswith("/") else f" {self.measure.unit}"

    def name_tied(self, rows: Sequence[Cell]) -> str:
        """The first row, and the rows that tie with it."""
        first, *tied = [self.name_row(row) for row in rows]
        more = f" and {len(tied) - TIES_NAMED} more" if len(tied) > TIES_NAMED else ""
        return f"{first}, tied with {', '.join(tied[:TIES_NAMED])}{more}" if tied else first


def order_route(route: str) -> tuple[int, str]:
    """Where a route stands: direct, then the proxies as compose.yaml has them, each before its stock configuration."""
    names = [DIRECT, *proxies.names()]
    proxy = route.removesuffix("-stock")
    return names.index(proxy) if proxy in names else len(names), route


def describe_figure(measured: MeasuredCell, measure: Measure, letters: str = "") -> str:
    """A cell's figure as text, or why there is none. `*` marks a cell of which some windows are invalid."""
    median, bound = measured.find_median(measure), measured.find_lower_bound(measure)
    if not median:
        return f"≥ {format_number(bound)} (generator saturated)" if bound else describe_absence(measured)
    counted, windows = len(measured.find_windows(measure)), len(measured.windows)
    share = f"[{counted} of {windows} windows]" if counted < windows else ""
    star = "*" if measured.invalid_windows and not share else ""
    return " ".join(filter(None, [format_interval(median), star, letters, share]))


def describe_absence(measured: MeasuredCell) -> str:
    """Why a cell has no figure, in a few words."""
    if measured.broken_rules:
        return "invalid: " + ", ".join(measured.broken_rules)
    return NOT_IN_RUN if measured.unmeasured == NOT_IN_RUN else "not measured"
