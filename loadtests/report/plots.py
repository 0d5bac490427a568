"""Dot-and-interval plots as SVG: one row a server, one panel a route. No script; colours by class (report.html.jinja).

A dot is a median, the line through it its 95 % interval. Rows that share a letter tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from loadtests.analysis.intervals import Interval
from loadtests.analysis.wording import format_number
from loadtests.report.axis import CHARACTER, PLOT, Axis, draw_line, draw_text, format_tick

ROW, TOP, BOTTOM = 20, 40, 26  # pixels: the height of a row, and of what is above and below the rows
SMALL_CHARACTER, LETTER = 6.2, 7.5  # pixels: the width of a character of a reason, and of a tie's letter


@dataclass
class Row:
    """A row of a panel: its label, and either a figure, a lower bound, or the reason why there is neither.

    `figure`, `share` and `lower_bound` are in the measure's unit.
    """

    label: str
    kind: str = ""  # asgi, wsgi: colour and shape
    figure: Interval | None = None
    share: float | None = None  # the application's part of the figure
    lower_bound: float | None = None
    reason: str = ""
    letters: str = ""
    starred: bool = False  # some of its windows are invalid

    @property
    def is_shown(self) -> bool:
        """Whether the row has a mark on the axis."""
        return self.figure is not None or self.lower_bound is not None

    @property
    def value(self) -> str:
        """The figure as text."""
        if self.figure:
            return format_number(self.figure.middle) + "*" * self.starred
        return f"≥ {format_number(self.lower_bound)}" if self.lower_bound is not None else self.reason


class Panel(NamedTuple):
    """A panel: its title, its rows, and a baseline in the measure's unit, drawn as a dashed line with a text."""

    title: str
    rows: Sequence[Row]
    baseline: float | None = None
    baseline_text: str = ""


class Layout(NamedTuple):
    """The places that all panels of a plot share: `left` is where the plot begins, `values` where the figures end."""

    axis: Axis
    unit: str
    left: float
    values: float
    width: float

    def place(self, value: float) -> float:
        """The x of a value."""
        return self.left + self.axis.at(value) * PLOT


def draw_panels(panels: Sequence[Panel], axis: Axis, unit: str) -> list[str]:
    """The panels as SVG elements of one size, their rows at the same heights."""
    rows = [row for panel in panels for row in panel.rows]
    left = max(len(row.label) for row in rows) * CHARACTER + 8
    values = left + PLOT + max((len(row.value) for row in rows if row.is_shown), default=0) * CHARACTER + 8
    longest_reason = max((len(row.reason) for row in rows if not row.is_shown), default=0)
    width = (
        max(values + max(len(row.letters) for row in rows) * LETTER, left + 6 + longest_reason * SMALL_CHARACTER) + 8
    )
    layout = Layout(axis, unit, left, values, width)
    return [draw_panel(panel, layout) for panel in panels]


def draw_panel(panel: Panel, layout: Layout) -> str:
    """One panel as an SVG element."""
    bottom = TOP + len(panel.rows) * ROW
    size = f'viewBox="0 0 {layout.width:.0f} {bottom + BOTTOM}" width="{layout.width:.0f}" height="{bottom + BOTTOM}"'
    elements = [
        f'<svg {size} role="img"><title>{escape(panel.title)}</title>',
        draw_text(layout.left, 14, panel.title, kind="panel"),
    ]
    for y in range(TOP, bottom, 2 * ROW):
        elements.append(f'<rect x="0" y="{y}" width="{layout.width:.0f}" height="{ROW}" class="band"/>')
    for tick in layout.axis.find_ticks():
        x = layout.place(tick)
        elements.append(draw_line(x, TOP, x, bottom, "grid"))
        elements.append(draw_text(x, bottom + 15, format_tick(tick), "middle", "tick"))
    elements.append(draw_text(layout.values, bottom + 15, layout.unit, "end", "tick"))
    elements += draw_baseline(panel, layout)
    for number, row in enumerate(panel.rows):
        elements += draw_row(row, TOP + number * ROW + ROW // 2, layout)
    return "".join([*elements, "</svg>"])


def draw_baseline(panel: Panel, layout: Layout) -> list[str]:
    """The dashed line of the proxy's own answer. It leaves out the rows whose reason lies in its place."""
    if panel.baseline is None:
        return []
    x, anchor = layout.place(panel.baseline), "start" if layout.axis.at(panel.baseline) < 0.5 else "end"
    elements, top = [draw_text(x, TOP - 11, panel.baseline_text, anchor, "tick baseline")], float(TOP - 8)
    for number, row in enumerate(panel.rows):
        if not row.is_shown and x < layout.left + 12 + len(row.reason) * SMALL_CHARACTER:
            y = TOP + number * ROW
            elements += [draw_line(x, top, x, y, "baseline")] if y > top else []
            top = y + ROW
    bottom = TOP + len(panel.rows) * ROW
    return elements + ([draw_line(x, top, x, bottom, "baseline")] if bottom > top else [])


def draw_row(row: Row, y: float, layout: Layout) -> list[str]:
    """A row: its label, its mark with the interval, its figure and its letters; or the reason why there is none."""
    tooltip = f"{row.label}: {row.value}"
    if row.figure:
        limits = f"{format_number(row.figure.low)} to {format_number(row.figure.high)}"
        tooltip += f" {layout.unit} ({limits}, n = {row.figure.n})"
    elements = [f"<g><title>{escape(tooltip)}</title>", draw_text(layout.left - 8, y + 4, row.label, "end")]
    if row.figure:
        if row.share:
            x = layout.place(row.share)
            elements.append(draw_line(x, y - 5, x, y + 5, f"part {row.kind}"))
        low, high = layout.place(row.figure.low), layout.place(row.figure.high)
        elements.append(draw_line(low, y, high, y, f"interval {row.kind}"))
        elements.append(draw_mark(layout.place(row.figure.middle), y, row.kind))
    elif row.lower_bound is not None:
        elements.append(draw_mark(layout.place(row.lower_bound), y, f"{row.kind} least"))
    else:
        elements.append(draw_text(layout.left + 6, y + 4, row.reason, kind="why"))
    if row.is_shown:
        elements.append(draw_text(layout.values, y + 4, row.value, "end", "value"))
    letters = draw_text(layout.values + 6, y + 4, row.letters, kind="letters") if row.letters else ""
    return [*elements, letters, "</g>"]


def draw_mark(x: float, y: float, kind: str) -> str:
    """A circle for ASGI, a square for the rest; a triangle that points on for a lower bound."""
    if kind.endswith("least"):
        return f'<path d="M{x:.1f} {y - 5:.1f}l8 5l-8 5z" class="dot {kind}"/>'
    if kind == "asgi":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot {kind}"/>'
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" class="dot {kind}"/>'
