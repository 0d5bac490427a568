"""The claims' test files, and the record of each claim: docs/claims/<id>.json."""

import json
import os
import re
from pathlib import Path
from typing import Any, TypedDict

from stack import ROOT

# A run with PINS (PINS="gunicorn==23.0.0") measures other releases than the locked ones, so it writes elsewhere.
REPORT_FOLDER = ROOT / ".cache/claims" if os.environ.get("PINS") else ROOT / "docs"
FOLDER = REPORT_FOLDER / "claims"
IDS = [f"C{number:02}" for number in range(1, 30)]
VERDICTS = ("holds", "holds with a limit", "no longer true", "never was")


class Record(TypedDict):
    """What `make claims` keeps of a claim.

    `says`: the claim in a sentence. `evidence`: the figures that carry the verdict. `file`: the claim's test file,
    relative to the repository. `tests`: the tests that show the claim. `date`: ISO 8601. `seconds`: the tests' time.
    `conditions`: versions, machine, client. `tables`: title, columns, rows, note. `finding`: what the tests measured.
    """

    id: str
    says: str
    verdict: str
    evidence: str
    file: str
    tests: list[str]
    date: str
    seconds: float
    conditions: dict[str, Any]
    tables: list[dict[str, Any]]
    finding: dict[str, Any]


def read(identifier: str) -> Record | None:
    """A claim's record; None where the claim was never measured."""
    file = FOLDER / f"{identifier}.json"
    return json.loads(file.read_text()) if file.is_file() else None


def write(record: Record) -> None:
    """Writes a claim's record."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / f"{record['id']}.json").write_text(text + "\n")


def files() -> dict[str, Path]:
    """The test file of each claim, by the claim's identifier."""
    paths = sorted((ROOT / "tests/claims").glob("test_c[0-9][0-9]_*.py"))
    return {path.name[5:8].upper(): path for path in paths}


def names_of_tests(folder: Path = ROOT / "tests") -> set[str]:
    """The test functions of every test file in a folder."""
    return {name for path in folder.rglob("test_*.py") for name in list_tests(path)}


def list_tests(file: Path) -> set[str]:
    """The test functions that a file defines."""
    return set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))
