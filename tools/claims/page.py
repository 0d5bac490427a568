"""docs/claims.md, from the records."""

from collections.abc import Sequence
from typing import Any

from stack import ROOT
from tools.claims.records import IDS, REPORT_FOLDER, Record, list_tests, read
from tools.markdown import table

FILE = REPORT_FOLDER / "claims.md"
INTRODUCTION = """# The claims

The talk “Web/Asynchronous Server Gateway Interface” (Live de Python #301, October 2025) makes claims about Python's web
and application servers. Its slides are in Portuguese, so its examples have fields such as `senha` (password). This page
puts each claim beside what the released servers do. The test named in a row computes the row's verdict from what the
test measured.

`make claims` measures every claim anew and writes this page. `make claims ONLY=C20` measures one claim. The raw results
are in [claims/](claims).

- **holds**: as the talk says.
- **holds with a limit**: true under conditions, which the evidence names.
- **no longer true**: true of an earlier release; a later release changed it.
- **never was**: true of no release.
"""


def write() -> None:
    """Writes the page."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(render())


def render() -> str:
    """The page."""
    records = [record for name in IDS if (record := read(name))]
    conditions: list[dict[str, Any]] = []
    for record in records:
        if record["conditions"] not in conditions:
            conditions.append(record["conditions"])
    columns = ["", "the talk says", "verdict", "measured", "date (conditions)", "test"]
    parts = [INTRODUCTION, summary(), "", table(columns, [describe_row(name, conditions) for name in IDS]), ""]
    for record in records:
        parts += describe_tables(record)
    parts += ["## Conditions", ""]
    for number, condition in enumerate(conditions, 1):
        versions = ", ".join(f"{name} {version}" for name, version in condition["versions"].items())
        parts += [f"{number}. {versions}. Machine: {condition['machine']}. Client: {condition['client']}.", ""]
    parts += ["## Tests", ""]
    parts += ["A verdict needs its claim's own tests to pass. The other tests show the same in `make test`.", ""]
    parts += [describe_tests(record) for record in records]
    return "\n".join(parts) + "\n"


def summary() -> str:
    """How many claims have which verdict, in a sentence."""
    verdicts = [record["verdict"] for name in IDS if (record := read(name))]
    counts = {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}
    parts = ", ".join(f"{number} “{verdict}”" for verdict, number in counts.items())
    unmeasured = len(IDS) - len(verdicts)
    return f"Of {len(IDS)} claims: {parts}" + (f", {unmeasured} not measured" if unmeasured else "") + "."


def describe_row(identifier: str, conditions: Sequence[dict[str, Any]]) -> list[str]:
    """A claim's row in the first table; `conditions` are numbered from 1 in this order."""
    record = read(identifier)
    if not record:
        return [identifier, "", "no verdict", "not measured", "", ""]
    label = f"[{identifier}](#{identifier.lower()})" if record["tables"] else identifier
    date = f"{record['date']} ([{conditions.index(record['conditions']) + 1}](#conditions))"
    tests = f"[`{record['tests'][0]}`](../{record['file']})" if record["tests"] else ""
    tests += f" and {len(record['tests']) - 1} more" if len(record["tests"]) > 1 else ""
    return [label, record["says"], f"**{record['verdict']}**", record["evidence"], date, tests]


def describe_tables(record: Record) -> list[str]:
    """A claim's section: its tables, each with its note; empty where the claim has no table."""
    parts = [f"## {record['id']}", "", record["says"], ""] if record["tables"] else []
    for item in record["tables"]:
        parts += [f"### {item['title']}", "", table(item["columns"], item["rows"]), ""]
        parts += [item["note"], ""] if item["note"] else []
    return parts


def describe_tests(record: Record) -> str:
    """The tests of a claim, as a list item: its own, then those of other files."""
    own_names = list_tests(ROOT / record["file"])
    own = ", ".join(f"`{name}`" for name in record["tests"] if name in own_names)
    others = ", ".join(f"`{name}`" for name in record["tests"] if name not in own_names)
    return f"- [{record['id']}](../{record['file']}): {own}" + (f"; others: {others}" if others else "")
