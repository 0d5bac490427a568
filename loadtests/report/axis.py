"""The scale of a plot, and its SVG elements. Lengths are in pixels of a plot shown at its own size."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from loadtests.analysis.intervals import Interval
from loadtests.analysis.wording import THIN_SPACE

PLOT, CHARACTER = 190, 6.7  # the width of a panel's plot, and of a character
FINE_STEPS = tuple(step / 10 for step in range(10, 100))
# Labels for every third decade, each decade, and in between: (every, steps).
TICKS: tuple[tuple[int, tuple[float, ...]], ...] = (
    (3, (1,)),
    (1, (1,)),
    (1, (1, 3)),
    (1, (1, 2, 5)),
    (1, (1, 1.5, 2, 3, 5, 7)),
    (1, FINE_STEPS),
)


@dataclass
class Axis:
    """The scale of all panels of a plot, in the measure's unit. It is logarithmic: servers differ by factors."""

    low: float
    high: float

    @classmethod
    def cover(cls, intervals: Iterable[Interval], values: Iterable[float] = ()) -> "Axis":
        """The axis that shows every median and value. An interval far beyond all medians runs off its end."""
        intervals = list(intervals)
        middles = [interval.middle for interval in intervals] + list(values) or [1.0]
        low, high = min(middles) / 1.5, max(middles) * 1.5
        limits = [interval.low for interval in intervals if interval.low >= low]
        limits += [interval.high for interval in intervals if interval.high <= high]
        return cls(min(middles + limits) / 1.12, max(middles + limits) * 1.12)

    def at(self, value: float) -> float:
        """The share of the axis that lies left of a value, from 0 to 1."""
        value = min(max(value, self.low), self.high)
        return math.log(value / self.low) / math.log(self.high / self.low)

    def find_ticks(self) -> list[float]:
        """Round values to label: as many as fit side by side."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        ticks: list[float] = []
        for every, steps in TICKS:
            values = sorted(step * 10.0**decade for decade in decades[::every] for step in steps)
            inside = [value for value in values if self.low <= value <= self.high]
            labels = [(self.at(value) * PLOT, len(f"{value:,g}") * CHARACTER / 2 + 3) for value in inside]
            if all(x2 - x1 > half1 + half2 for (x1, half1), (x2, half2) in pairwise(labels)):
                ticks = inside
        return ticks if len(ticks) > 1 else [inside[0], inside[-1]]


def format_tick(tick: float) -> str:
    """A tick's label."""
    return f"{tick:,g}".replace(",", THIN_SPACE)


def draw_text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def draw_line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'
