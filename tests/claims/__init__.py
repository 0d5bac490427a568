"""The claims of the talk, measured. README.md says how to write one.

The talk is "Web/Asynchronous Server Gateway Interface" (Live de Python #301, October 2025). A claim is one file,
`test_cNN_….py`, of three parts:

- `CLAIM = Claim("C20", "…")`: what the talk says.
- Tests. They assert that a measurement can be trusted (controls, counts), and put it into the fixture `finding`.
- `def conclude(finding: Finding) -> Conclusion`: the verdict, computed from the finding and from nothing else.
"""

from typing import Any, Literal, NamedTuple

Finding = dict[str, Any]  # JSON: what the tests of one claim have measured
Verdict = Literal["holds", "holds with a limit", "no longer true", "never was"]  # as in tools/claims/records.py


class Claim(NamedTuple):
    """What the talk says, in a sentence. `also` names tests of other files that show it too."""

    id: str
    says: str
    also: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table of the claim's section. Cells are Markdown. `note` gives the conditions, and what the marks mean."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


class Conclusion(NamedTuple):
    """A verdict, and its evidence: one or two sentences with the figures that carry the verdict."""

    verdict: Verdict
    evidence: str
    tables: tuple[Table, ...] = ()
