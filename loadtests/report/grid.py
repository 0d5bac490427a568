"""The cells of one scenario as rows and columns: a row for each server, a column for each way to it.

What cannot be told apart is not ranked: rows that share a letter tie, and an answer names all who tie with the first.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

from loadtests.analysis import intervals, records
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import Figure, Record, Run
from loadtests.report import plots
from loadtests.report.plots import number
from loadtests.window import NO_SERVER, Cell
from stack import proxies

ALONE = "no application server: the proxy's own answer"


class Table(NamedTuple):
    """A table: its columns, and its lines of as many cells."""

    columns: list[str]
    lines: list[list[str]]


@dataclass
class Part:
    """A part of a section: a question, its answer, the panels of its plot, and its tables."""

    question: str = ""
    answer: str = ""
    panels: list[Markup] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    heading: str = ""  # above the first part of several about the same user
    text: str = ""  # how to read it
    folded: bool = False  # its tables are for those who ask


class Grid:
    """The cells of a scenario's user in one mode, read by one figure."""

    def __init__(self, run: Run, scenario: str, variant: str, mode: str, figure: Figure) -> None:
        self.run, self.mode, self.figure = run, mode, figure
        self.records = {
            cell._replace(mode=""): one
            for cell, one in run.records.items()
            if (cell.scenario, cell.variant) == (scenario, variant) and cell.mode in (mode, "") and not cell.pair
        }
        alone = [cell for cell in self.records if cell.server == NO_SERVER]
        one_each = len({cell.route for cell in alone}) == len(alone)  # several, such as one a protocol, are rows
        self.bare = len(alone) == len(self.records)  # no server takes part at all
        self.alone = {cell.route: self.records[cell] for cell in alone if one_each and not self.bare}
        servers = [cell for cell in self.records if cell.route not in self.alone or cell not in alone]
        self.proxies = sorted({cell.route for cell in servers}, key=order)
        self.varied = {
            name for name in ("app", "workers", "http") if len({getattr(cell, name) for cell in servers} - {""}) > 1
        }
        self.floor = intervals.noise_floor([ratio for _, ratio in records.pairs(run, figure, mode)])
        self.rows = sorted({cell._replace(route=""): 0 for cell in servers}, key=self.place)

    def label(self, row: Cell) -> str:
        """A row's name: whatever tells it from the others."""
        return records.label(row, self.varied)

    def heading(self, proxy: str) -> str:
        """What a panel or a column shows."""
        return f"{proxy} by itself" if self.bare else heading(proxy)

    def at(self, row: Cell, proxy: str) -> Record:
        """The record of a row behind a proxy: an empty one if it is not in the run."""
        cell = row._replace(route=proxy)
        return self.records.get(cell) or Record(cell, unmeasured="not in this run")

    def place(self, row: Cell) -> tuple[bool, float, str]:
        """Where a row stands: by its figure behind the first proxy where it has one, those without any last."""
        for proxy in self.proxies:
            found = self.median(row, proxy)
            if value := found.middle if found else self.at(row, proxy).bound(self.figure):
                return False, -value if self.figure.more_is_better else value, ""
        return True, 0, self.label(row)

    def median(self, row: Cell, proxy: str, figure: Figure | None = None) -> Interval | None:
        """A cell's median, of the grid's figure or another."""
        return self.at(row, proxy).median(figure or self.figure)

    def medians(self, proxy: str, figure: Figure) -> list[float]:
        """A figure of every row that has one behind a proxy."""
        return [one.middle for row in self.rows if (one := self.median(row, proxy, figure))]

    def baseline(self, proxy: str) -> Record | None:
        """The proxy's own answer, if this figure of it was measured."""
        found = self.alone.get(proxy)
        return found if found and (found.median(self.figure) or found.bound(self.figure)) else None

    def tied(self, proxy: str, first: Cell, second: Cell) -> bool:
        """Whether two rows cannot be told apart behind a proxy."""
        values = [self.at(row, proxy).values(self.figure) for row in (first, second)]
        return intervals.verdict(intervals.paired(*values), self.floor) == "tie"

    def letters(self, proxy: str) -> dict[Cell, str]:
        """The letters of the rows: who shares one ties."""
        rows = [row for row in self.rows if self.median(row, proxy)]
        found = intervals.letters(len(rows), lambda i, j: self.tied(proxy, rows[i], rows[j]))
        return dict(zip(rows, found, strict=True))

    def ends(self, proxy: str) -> tuple[list[Cell], Cell] | None:
        """The best row with all that tie with it, and the last; None where nothing was measured."""
        servers = [row for row in self.rows if row.server != NO_SERVER] or self.rows
        found = {row: one.middle for row in servers if (one := self.median(row, proxy))}
        if not found:
            return None
        rows = sorted(found, key=lambda row: found[row], reverse=self.figure.more_is_better)
        return [rows[0], *(row for row in rows[1:] if self.tied(proxy, rows[0], row))], rows[-1]

    def panels(self, proxies: Sequence[str]) -> list[Markup]:
        """The plot: a panel for each proxy, on one axis."""
        found, bounds, panels = [], [], []
        for proxy in proxies:
            alone = self.baseline(proxy)
            for record in [self.at(row, proxy) for row in self.rows] + ([alone] if alone else []):
                found += [one] if (one := record.median(self.figure)) else []
                bounds += [bound] if (bound := record.bound(self.figure)) else []
            middle = alone.median(self.figure) if alone else None
            value = middle.middle if middle else alone.bound(self.figure) if alone else None
            said = f"by itself {'' if middle else '≥ '}{number(value)}" if value else ""
            panels.append(plots.Panel(self.heading(proxy), self.marks(proxy), value, said))
        parts = [row.part for panel in panels for row in panel.rows if row.part]
        drawn = plots.draw(panels, plots.Axis.of(found, bounds + parts), self.figure.unit)
        return [Markup(one) for one in drawn]  # noqa: S704 - its texts are escaped

    def marks(self, proxy: str) -> list[plots.Row]:
        """The rows of a panel."""
        letters, found = self.letters(proxy), []
        for row in self.rows:
            record = self.at(row, proxy)
            part = record.median(records.APP) if self.figure is records.COST and proxy != "direct" else None
            mark = plots.Row(self.label(row), row.interface, record.median(self.figure), part and part.middle)
            mark.least, mark.why = record.bound(self.figure), absent(record)
            mark.letters, mark.starred = letters.get(row, ""), bool(record.gated)
            found.append(mark)
        return found

    def text(self, row: Cell, proxy: str, letters: str = "", figure: Figure | None = None) -> str:
        """A cell of the table: the figure, its letters, and how many windows counted if not all did."""
        return tell(self.at(row, proxy), figure or self.figure, letters)

    def last(self) -> list[str]:
        """The baselines as cells of a table, a column for each proxy; none where there is no baseline."""
        found = [self.baseline(proxy) for proxy in self.proxies]
        return [tell(one, self.figure) if one else "–" for one in found] if any(found) else []

    def table(self) -> Table:
        """A row for each server, a column for each proxy, and the baselines."""
        letters = {proxy: self.letters(proxy) for proxy in self.proxies}
        lines = [
            [self.label(row), *(self.text(row, proxy, letters[proxy].get(row, "")) for proxy in self.proxies)]
            for row in self.rows
        ]
        lines += [[ALONE, *last]] if (last := self.last()) else []
        return Table(["server", *(f"{self.heading(proxy)}, {self.figure.unit}" for proxy in self.proxies)], lines)

    def names(self, rows: Sequence[Cell]) -> str:
        """The first row, and those that tie with it."""
        first, *rest = [self.label(row) for row in rows]
        told = ", ".join(rest[:3]) + (f" and {len(rest) - 3} more" if len(rest) > 3 else "")
        return f"{first} (tied with it: {told})" if rest else first

    def extremes(self, proxy: str) -> str:
        """Who is first behind a proxy with all that tie, and who is last, with their figures."""
        found = self.ends(proxy)
        bounds = {row: bound for row in self.rows if (bound := self.at(row, proxy).bound(self.figure))}
        words = ("the most", "the least") if self.figure.more_is_better else ("the least", "the most")
        unit = self.figure.unit if self.figure.unit.startswith("/") else " " + self.figure.unit
        text = f"{self.heading(proxy)}: no window counts"
        if found:
            best, last = found
            values = [number(one.middle) + unit for row in (best[0], last) if (one := self.median(row, proxy))]
            text = f"{self.heading(proxy)}: {words[0]} is {values[0]}, {self.names(best)}"
            text += f"; {words[1]} is {values[1]}, {self.label(last)}" if last not in best else ""
        if bounds:
            beyond = ", ".join(f"{self.label(row)} ≥ {number(bound)}{unit}" for row, bound in bounds.items())
            text = f"{self.heading(proxy)}: beyond the generator are {beyond}; of the others, {text.partition(': ')[2]}"
        return text


def order(proxy: str) -> tuple[int, str]:
    """Where a way stands: direct, then the proxies as compose.yaml has them, each before its stock configuration."""
    known = ["direct", *proxies.names()]
    first = proxy.removesuffix("-stock")
    return known.index(first) if first in known else len(known), proxy


def shown(interval: Interval, unit: str = "") -> str:
    """A median with its interval."""
    span = f"{number(interval.low)}–{number(interval.high)}" if interval.n > 1 else "one round"
    return f"{number(interval.middle)}{unit and ' ' + unit} ({span})"


def tell(record: Record, figure: Figure, letters: str = "") -> str:
    """A record's figure as text, or why it has none."""
    found, bound = record.median(figure), record.bound(figure)
    if not found:
        return f"≥ {number(bound)} (generator saturated)" if bound else absent(record)
    counted = len(record.counted(figure))
    gated = f"[{counted} of {len(record.windows)} windows]" if counted < len(record.windows) else ""
    return " ".join(filter(None, [shown(found), "*" * (bool(record.gated) and not gated), letters, gated]))


def heading(proxy: str) -> str:
    """What a panel or a column shows."""
    return "direct" if proxy == "direct" else f"behind {proxy}"


def absent(record: Record) -> str:
    """Why a cell has no figure, in a word."""
    if record.windows:
        gates = dict.fromkeys(one.rule for window in record.gated for one in window.invalid)
        return "gated: " + ", ".join(gates) if gates else "not measured"
    return "not in this run" if record.unmeasured == "not in this run" else "not measured"


def sentences(*clauses: str) -> str:
    """Clauses as sentences."""
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses if clause)


def cost(grid: Grid) -> Part:
    """What a request costs."""
    adds = []
    for proxy in (one for one in grid.proxies if one != "direct"):
        if own := grid.medians(proxy, records.PROXY):
            alone = record.median(records.COST) if (record := grid.baseline(proxy)) else None
            logs = grid.medians(proxy, records.ENGINE)
            more = [f"{number(min(own))} to {number(max(own))}, by server"] if len(own) > 1 else []
            more += [f"{number(alone.middle)} when it answers by itself"] if alone else []
            more += [f"{number(statistics.median(logs))} more in the engine, which keeps its log"] if logs else []
            itself = f" ({'; '.join(more)})" if more else ""
            adds.append(f"{proxy} adds {number(statistics.median(own))} µs{itself}")
    first = grid.proxies[:1] if grid.proxies[0] == "direct" else grid.proxies
    answer = sentences(*map(grid.extremes, first), f"in front, {', '.join(adds)}" if adds and not grid.bare else "")
    columns, lines = ["server"], []
    for proxy in grid.proxies:
        columns += [f"{grid.heading(proxy)}, µs"]
        columns += [f"of it app + {proxy}", "engine"] if proxy != "direct" else []
    letters = {proxy: grid.letters(proxy) for proxy in grid.proxies}
    for row in grid.rows:
        line = [grid.label(row)]
        for proxy in grid.proxies:
            line.append(grid.text(row, proxy, letters[proxy].get(row, "")))
            if proxy != "direct":
                shares = [grid.median(row, proxy, figure) for figure in (records.APP, records.PROXY)]
                engine = grid.median(row, proxy, records.ENGINE)
                line.append(" + ".join(number(one.middle) for one in shares if one) or "–")
                line.append(number(engine.middle) if engine else "–")
        lines.append(line)
    if last := grid.last():
        line = [ALONE]
        for proxy, told in zip(grid.proxies, last, strict=True):
            line += [told] + (["–", "–"] if proxy != "direct" else [])
        lines.append(line)
    return Part("", answer, grid.panels(grid.proxies), [Table(columns, lines)])


def cost_at_rate(grid: Grid) -> Part:
    """What it costs where the stack mostly waits: figures without a plot, as they are noisy."""
    part = cost(grid)
    part.panels, part.folded = [], True
    return part


def ceiling(grid: Grid) -> Part:
    """How many requests a second each answers at most."""
    answer = sentences(*(grid.extremes(proxy) for proxy in grid.proxies))
    return Part("", answer, grid.panels(grid.proxies), [grid.table()])


def latency(grid: Grid) -> Part:
    """How long an answer takes at the fixed rate: median, 99th percentile, and whether the rate was kept."""
    delivered = [
        (one.middle, grid.label(row), proxy)
        for row in grid.rows
        for proxy in grid.proxies
        if (one := grid.median(row, proxy, records.DELIVERED))
    ]
    kept = ""
    if delivered:
        least, who, proxy = min(delivered)
        kept = (
            f"every cell that counts delivered at least {100 * least:.1f} % of the rate ({who} {grid.heading(proxy)})"
        )
    answer = sentences(f"of 100 answers 99 take at most, {grid.extremes(grid.proxies[0])}", kept)
    columns, lines = ["server"], []
    for proxy in grid.proxies:
        columns += [f"{grid.heading(proxy)}: p50, ms", "p99, ms", "p95 and p99.9 of all rounds", "delivered / offered"]
    letters = {proxy: grid.letters(proxy) for proxy in grid.proxies}
    for row in grid.rows:
        line = [grid.label(row)]
        for proxy in grid.proxies:
            share = grid.median(row, proxy, records.DELIVERED)
            line += [grid.text(row, proxy, figure=records.P50), grid.text(row, proxy, letters[proxy].get(row, ""))]
            line.append(" · ".join(map(number, grid.at(row, proxy).pooled(0.95, 0.999))) or "–")
            line.append(f"{share.middle:.3f}" if share else "–")
        lines.append(line)
    return Part("", answer, grid.panels(grid.proxies), [Table(columns, lines)])


def memory(grid: Grid) -> Part:
    """What a server's container holds: after warm-up, at most, and for each worker."""
    proxy, own = grid.proxies[0], []
    for name in (one for one in grid.proxies if one != "direct"):
        if found := grid.medians(name, records.PROXY_PEAK):
            own.append(f"{name} holds {number(statistics.median(found))} MiB")
    several = any(row.workers > 1 for row in grid.rows)
    letters, lines = grid.letters(proxy), []
    for row in grid.rows:
        peak = grid.median(row, proxy)
        line = [grid.label(row), grid.text(row, proxy, figure=records.WARM)]
        line.append(grid.text(row, proxy, letters.get(row, "")))
        lines.append([*line, number(peak.middle / row.workers) if peak else "–"][: 4 if several else 3])
    columns = ["server", "after warm-up, MiB", "at most, MiB", "at most, for each worker"][: 4 if several else 3]
    each = "" if several else "every server has one worker"
    answer = sentences(grid.extremes(proxy), ", ".join(own), each)
    return Part("", answer, grid.panels([proxy]), [Table(columns, lines)])
