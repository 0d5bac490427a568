"""The README's picture: one plot with a mark for each route in every row, as an SVG file of its own."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from loadtests.analysis.intervals import Interval
from loadtests.analysis.wording import format_number
from loadtests.report.axis import Axis, draw_line, draw_text, format_tick

PLOT, COLUMN, TOP, ROW, CHARACTER = 420, 92, 58, 22, 7.2  # pixels: the plot, a column of figures, a row, a character
# The mark of each route: its shape, and its colour on a light and on a dark page.
ROUTES = (("circle", "#0072b2", "#56b4e9"), ("square", "#c24e00", "#e69f00"), ("diamond", "#007a5a", "#2cc79a"))
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


class PictureRow(NamedTuple):
    """A row: its label, and for each route its figure with the letters of its ties. A figure may be missing."""

    label: str
    figures: Sequence[tuple[Interval | None, str]]


def draw_picture(title: str, unit: str, routes: Sequence[str], rows: Sequence[PictureRow]) -> str:
    """The picture as an SVG file."""
    axis = Axis.cover([figure for row in rows for figure, _ in row.figures if figure])
    left = max(len(row.label) for row in rows) * CHARACTER + 14
    width, bottom = left + PLOT + COLUMN * len(routes) + 8, TOP + len(rows) * ROW
    ends = [left + PLOT + COLUMN * (place + 1) - 26 for place in range(len(routes))]  # of the columns of figures
    size = f'width="{width:.0f}" height="{bottom + 30}" viewBox="0 0 {width:.0f} {bottom + 30}"'
    elements = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>',
        f"<style>{STYLE % (color_routes(1), color_routes(2))}</style>",
        f'<rect x="0" y="0" width="{width:.0f}" height="{bottom + 30}" class="paper"/>',
        draw_text(14, 24, title, kind="title"),
    ]
    for number in range(0, len(rows), 2):
        elements.append(f'<rect x="8" y="{TOP + number * ROW}" width="{width - 16:.0f}" height="{ROW}" class="band"/>')
    for tick in axis.find_ticks():
        x = left + axis.at(tick) * PLOT
        elements.append(draw_line(x, TOP, x, bottom, "grid"))
        elements.append(draw_text(x, bottom + 18, format_tick(tick), "middle", "tick"))
    for place, route in enumerate(routes):
        elements.append(draw_mark(ends[place] - len(route) * CHARACTER - 12, 44, place))
        elements.append(draw_text(ends[place], 48, route, "end"))
    for number, row in enumerate(rows):
        elements += draw_row(row, TOP + number * ROW + 11, axis, left, ends)
    elements.append(draw_text(14, bottom + 18, unit, kind="tick"))
    return "\n".join(element for element in [*elements, "</svg>"] if element) + "\n"


def draw_row(row: PictureRow, y: float, axis: Axis, left: float, ends: Sequence[float]) -> list[str]:
    """A row: its label, and each route's mark with its interval, figure and letters."""
    elements = [draw_text(left - 10, y + 4.5, row.label, "end")]
    for place, (figure, letters) in enumerate(row.figures):
        if figure:
            low, middle, high = (left + axis.at(value) * PLOT for value in figure[:3])
            elements.append(draw_line(low, y, high, y, f"interval route{place}"))
            elements.append(draw_mark(middle, y, place))
        value = format_number(figure.middle) if figure else "–"
        elements.append(draw_text(ends[place], y + 4.5, value, "end", "value"))
        elements.append(draw_text(ends[place] + 4, y + 4, letters, kind="letters"))
    return elements


def color_routes(column: int) -> str:
    """The style of each route's mark, by a column of ROUTES."""
    colors = [route[column] for route in ROUTES]
    return "\n".join(f".route{place} {{ fill: {color}; stroke: {color}; }}" for place, color in enumerate(colors))


def draw_mark(x: float, y: float, place: int) -> str:
    """A route's mark: colour and shape say the same."""
    shape, kind = ROUTES[place][0], f"route{place}"
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{kind}"/>'
    if shape == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" class="{kind}"/>'
    return f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z" class="{kind}"/>'
