"""Dot-and-interval plots as SVG: one row a server, one panel a proxy. No script, colours by class (report.html.jinja).

A dot is a median, the line through it its 95 % interval. Rows that share a letter cannot be told apart. Lengths are in
pixels of a panel shown at its own size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

from loadtests.analysis.intervals import Interval

ROW, TOP, BOTTOM, PLOT, CHARACTER = 20, 40, 26, 190, 6.7
FINE = [step / 10 for step in range(10, 100)]


@dataclass
class Row:
    """A row of a panel: its label, and either a figure, a lower bound of it, or why there is none."""

    label: str
    kind: str = ""  # asgi, wsgi: colour and shape
    figure: Interval | None = None
    part: float | None = None  # the application's share of the figure
    least: float | None = None
    why: str = ""
    letters: str = ""
    starred: bool = False  # not all of its windows counted

    @property
    def value(self) -> str:
        """The figure as text."""
        if self.figure:
            return number(self.figure.middle) + "*" * self.starred
        return f"≥ {number(self.least)}" if self.least is not None else self.why


def number(value: float) -> str:
    """A figure with three significant digits, and thin spaces from a thousand on."""
    if not 0 < value < math.inf:
        return "0" if value <= 0 else "∞"
    if value >= 100:
        digits = max(0, len(str(int(value))) - 3) if value >= 1000 else 0
        return f"{round(value, -digits):,.0f}".replace(",", "\u202f")
    return f"{value:.{2 - max(0, math.floor(math.log10(value)))}f}" if value >= 1 else f"{value:.2g}"


@dataclass
class Axis:
    """The scale that the panels of a plot share: logarithmic, as servers differ by factors."""

    low: float
    high: float

    @classmethod
    def of(cls, intervals: Iterable[Interval], more: Iterable[float] = ()) -> "Axis":
        """The axis that shows every median; an interval far beyond all medians runs off its end."""
        intervals = list(intervals)
        middles = [one.middle for one in intervals] + list(more) or [1.0]
        low, high = min(middles) / 1.5, max(middles) * 1.5
        ends = [one.low for one in intervals if one.low >= low] + [one.high for one in intervals if one.high <= high]
        return cls(min(middles + ends) / 1.12, max(middles + ends) * 1.12)

    def at(self, value: float) -> float:
        """The share of the axis that lies left of a value, from 0 to 1."""
        value = min(max(value, self.low), self.high)
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        """Round values to label: as many as fit."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found: list[float] = []
        for every, steps in ((3, (1,)), (1, (1,)), (1, (1, 3)), (1, (1, 2, 5)), (1, (1, 1.5, 2, 3, 5, 7)), (1, FINE)):
            values = sorted(step * 10.0**decade for decade in decades[::every] for step in steps)
            inside = [value for value in values if self.low <= value <= self.high]
            ends = [(self.at(value) * PLOT, len(f"{value:,g}") * CHARACTER / 2 + 3) for value in inside]
            if all(two[0] - one[0] > one[1] + two[1] for one, two in pairwise(ends)):
                found = inside
        return found if len(found) > 1 else [inside[0], inside[-1]]


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x: float, y: float, kind: str) -> str:
    """A median: a circle for ASGI, a square for the rest; a triangle that points on for a lower bound."""
    if kind.endswith("least"):
        return f'<path d="M{x:.1f} {y - 5:.1f}l8 5l-8 5z" class="dot {kind}"/>'
    if kind == "asgi":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot {kind}"/>'
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" class="dot {kind}"/>'


class Panel(NamedTuple):
    """A panel: its title, its rows, and the baseline drawn as a dashed line, with its text."""

    title: str
    rows: Sequence[Row]
    baseline: float | None = None
    said: str = ""


def draw(panels: Sequence[Panel], axis: Axis, unit: str) -> list[str]:
    """The panels as SVG elements of one size, their rows at the same heights."""
    rows = [row for one in panels for row in one.rows]
    shown = [row for row in rows if row.figure or row.least is not None]
    left = max(len(row.label) for row in rows) * CHARACTER + 8
    right = left + PLOT
    values = right + max([len(row.value) for row in shown], default=0) * CHARACTER + 8
    width = values + max(len(row.letters) for row in rows) * 7.5 + 8
    return [svg(one, axis, unit, left, right, values, width) for one in panels]


def svg(panel: Panel, axis: Axis, unit: str, left: float, right: float, values: float, width: float) -> str:
    """One panel: the plot lies from left to right, the values end at `values` and the letters follow."""
    bottom = TOP + len(panel.rows) * ROW
    size = f'viewBox="0 0 {width:.0f} {bottom + BOTTOM}" width="{width:.0f}" height="{bottom + BOTTOM}"'

    def x(value: float) -> float:
        return left + axis.at(value) * PLOT

    parts = [f'<svg {size} role="img"><title>{escape(panel.title)}</title>', text(left, 14, panel.title, kind="panel")]
    for y in range(TOP, bottom, 2 * ROW):
        parts.append(f'<rect x="0" y="{y}" width="{width:.0f}" height="{ROW}" class="band"/>')
    for tick in axis.ticks():
        parts.append(line(x(tick), TOP, x(tick), bottom, "grid"))
        parts.append(text(x(tick), bottom + 15, f"{tick:,g}".replace(",", "\u202f"), "middle", "tick"))
    parts.append(text(values, bottom + 15, unit, "end", "tick"))
    if panel.baseline is not None:
        place, anchor = x(panel.baseline), "start" if axis.at(panel.baseline) < 0.5 else "end"
        parts.append(line(place, TOP - 8, place, bottom, "baseline"))
        parts.append(text(place, TOP - 11, panel.said, anchor, "tick baseline"))
    for place, row in enumerate(panel.rows):
        y = TOP + place * ROW + ROW // 2
        described = f"{row.label}: {row.value}"
        if row.figure:
            described += f" {unit} ({number(row.figure.low)} to {number(row.figure.high)}, n = {row.figure.n})"
        parts += [f"<g><title>{escape(described)}</title>", text(left - 8, y + 4, row.label, "end")]
        if row.figure:
            if row.part:
                parts.append(line(x(row.part), y - 5, x(row.part), y + 5, f"part {row.kind}"))
            parts.append(line(x(row.figure.low), y, x(row.figure.high), y, f"interval {row.kind}"))
            parts.append(dot(x(row.figure.middle), y, row.kind))
        elif row.least is not None:
            parts.append(dot(x(row.least), y, f"{row.kind} least"))
        else:
            parts.append(text(left + 6, y + 4, row.why, kind="why"))
        if row.figure or row.least is not None:
            parts.append(text(values, y + 4, row.value, "end", "value"))
        parts += [text(values + 6, y + 4, row.letters, kind="letters") if row.letters else "", "</g>"]
    return "".join([*parts, "</svg>"])


WAYS = (("circle", "#0072b2", "#56b4e9"), ("square", "#c24e00", "#e69f00"), ("diamond", "#007a5a", "#2cc79a"))
STYLE = """
svg { --paper: #fff; --ink: #1c1c1c; --soft: #5c5c5c; --line: #ddd; --band: #f4f4f4;
  font: 13px system-ui, "DejaVu Sans", sans-serif; }
%s
@media (prefers-color-scheme: dark) { svg { --paper: #161616; --ink: #ececec; --soft: #a8a8a8; --line: #3a3a3a;
  --band: #202020; }
%s }
text { fill: var(--ink); } .title { font-size: 15px; font-weight: 600; } .tick { fill: var(--soft); font-size: 12px; }
.letters { fill: var(--soft); font: 11px ui-monospace, "DejaVu Sans Mono", monospace; }
.value { font-variant-numeric: tabular-nums; } .paper { fill: var(--paper); } .band { fill: var(--band); }
.grid { stroke: var(--line); } .interval { stroke-width: 2; }
"""


class Line(NamedTuple):
    """A row of the picture: for each way its figure, if it has one, and the letters of those that it ties with."""

    label: str
    figures: Sequence[tuple[Interval | None, str]]


def picture(title: str, unit: str, ways: Sequence[str], lines: Sequence[Line]) -> str:
    """One plot with a mark for each way in every row, as a file of its own: what a README can show."""
    found = [figure for one in lines for figure, _ in one.figures if figure]
    axis, plot, column = Axis.of(found), 420, 92
    left = max(len(one.label) for one in lines) * 7.2 + 14
    width, top = left + plot + column * len(ways) + 8, 58
    bottom = top + len(lines) * 22

    def x(value: float) -> float:
        return left + axis.at(value) * plot

    light, dark = (
        "\n".join(f".way{n} {{ fill: {way[at]}; stroke: {way[at]}; }}" for n, way in enumerate(WAYS)) for at in (1, 2)
    )
    size = f'width="{width:.0f}" height="{bottom + 30}" viewBox="0 0 {width:.0f} {bottom + 30}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>',
        f"<style>{STYLE % (light, dark)}</style>",
        f'<rect x="0" y="0" width="{width:.0f}" height="{bottom + 30}" class="paper"/>',
        text(14, 24, title, kind="title"),
    ]
    for place in range(0, len(lines), 2):
        parts.append(f'<rect x="8" y="{top + place * 22}" width="{width - 16:.0f}" height="22" class="band"/>')
    for tick in axis.ticks():
        parts.append(line(x(tick), top, x(tick), bottom, "grid"))
        parts.append(text(x(tick), bottom + 18, f"{tick:,g}".replace(",", "\u202f"), "middle", "tick"))
    ends = [left + plot + column * (place + 1) - 26 for place in range(len(ways))]
    for place, way in enumerate(ways):
        parts.append(shape(ends[place] - len(way) * 7.2 - 12, 44, place))
        parts.append(text(ends[place], 48, way, "end"))
    for number_of, one in enumerate(lines):
        y = top + number_of * 22 + 11
        parts.append(text(left - 10, y + 4.5, one.label, "end"))
        for place, (figure, letters) in enumerate(one.figures):
            if figure:
                parts.append(line(x(figure.low), y, x(figure.high), y, f"interval way{place}"))
                parts.append(shape(x(figure.middle), y, place))
            parts.append(text(ends[place], y + 4.5, number(figure.middle) if figure else "–", "end", "value"))
            parts.append(text(ends[place] + 4, y + 4, letters, kind="letters"))
    parts.append(text(14, bottom + 18, unit, kind="tick"))
    return "\n".join(part for part in [*parts, "</svg>"] if part) + "\n"


def shape(x: float, y: float, place: int) -> str:
    """A way's mark: colour and shape say the same."""
    name, kind = WAYS[place][0], f"way{place}"
    if name == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{kind}"/>'
    if name == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" class="{kind}"/>'
    return f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z" class="{kind}"/>'
