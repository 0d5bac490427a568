"""The documents' claims: what one is, and how what its tests find becomes a verdict.

A claim is one file, `test_cNN_….py`, of three parts:

- `CLAIM = Claim("C20", "…")`: what the documents say.
- Tests, which assert that what they measure can be trusted (controls, counts) and put it into the fixture `finding`, a
  dict that all tests of the file share and that is JSON: `finding["workers"]["granian"] = 2`. A test that takes long
  (over ten seconds, say) is marked `long`: `make test` leaves it out, `make claims` does not.
- `def conclude(found: Finding) -> Conclusion`: the verdict, computed from what was found and from nothing else, so
  that another release can change it.

When all its tests have passed, the claim's last item, `verdict`, concludes. Under `make claims` it writes
`docs/claims/C20.json`; under `make test` it demands the verdict that stands there.
"""

from typing import Any, Literal, NamedTuple

Finding = dict[str, Any]
Verdict = Literal["holds", "holds with a limit", "no longer true", "never was"]  # as in stack/claims.py


class Claim(NamedTuple):
    """What the documents say, in a sentence; `also` names tests elsewhere that show it, too."""

    id: str
    says: str
    also: tuple[str, ...] = ()


class Table(NamedTuple):
    """A table of the claim's section; cells are Markdown. `note` says under which conditions, and what marks mean."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


class Conclusion(NamedTuple):
    """A verdict, and its evidence in a sentence or two with the figures that carry it."""

    verdict: Verdict
    evidence: str
    tables: tuple[Table, ...] = ()
