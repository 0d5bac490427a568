"""What a report consists of: sections of parts, and a part's question, answer, plot and tables."""

from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup


class Table(NamedTuple):
    """A table: its column heads, and its lines of as many texts."""

    columns: list[str]
    lines: list[list[str]]


@dataclass
class Part:
    """A part of a section: a question with its answer, the panels of its plot, and its tables."""

    question: str = ""
    answer: str = ""
    panels: list[Markup] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    heading: str = ""  # above the first of several parts about one user
    text: str = ""  # how to read the part
    folded: bool = False  # the page shows its tables on demand


class Section(NamedTuple):
    """A heading, what to know before reading on, and the parts. `id` is the name of its anchor on the page."""

    heading: str
    text: str
    parts: list[Part]
    id: str = ""


def join_sentences(*clauses: str) -> str:
    """Clauses as sentences; empty clauses are left out."""
    return " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses if clause)
