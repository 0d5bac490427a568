"""Markdown tables."""

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(escape_cell(text) for text in line) + " |" for line in lines)


def escape_cell(text: str) -> str:
    """A text on one line, with the character that separates cells escaped."""
    return " ".join(text.split()).replace("|", "\\|")
