"""`make claims`: measures what the documents claim, and writes docs/claims.md from what was found.

The measuring is tests/claims, one file a claim; each leaves docs/claims/<id>.json. This file runs them, shows how far
they are, and turns the records into the page. Standard library only.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from stack import ROOT, Problem, settings
from stack.build import build_all

# A run on other releases than the locked ones (PINS="gunicorn==23.0.0") is no record of this project.
OTHER = ROOT / ".cache/claims" if os.environ.get("PINS") else None
FOLDER = (OTHER or ROOT / "docs") / "claims"
PAGE = FOLDER.parent / "claims.md"
IDS = [f"C{number:02}" for number in range(1, 30)]
VERDICTS = ("holds", "holds with a limit", "no longer true", "never was")
IN_PROBE_IMAGE = ("C02", "C18", "C19")  # claims whose servers run in the image that PINS makes
NOTHING_ASKED = 4  # pytest's code for a usage error
STARTED = time.monotonic()

INTRODUCTION = """# The claims

What documents about Python's web and application servers say, beside what the released servers do. Each verdict is
computed by the test named in its row from what that test measured; `make claims` measures all of them anew and writes
this page, `make claims ONLY=C20` one. The raw results are in [claims/](claims).

- **holds**: as the documents say.
- **holds with a limit**: true, but not everywhere or not without more; the evidence says where.
- **no longer true**: it was so once; releases since have changed it.
- **never was**: no release did it.
"""


def read(identifier: str) -> dict[str, Any] | None:
    """A claim's record, if it has one."""
    file = FOLDER / f"{identifier}.json"
    return json.loads(file.read_text()) if file.is_file() else None


def write(record: dict[str, Any]) -> None:
    """Keeps a claim's record: what was found, and what follows from it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / f"{record['id']}.json").write_text(text + "\n")


def files() -> dict[str, Path]:
    """The file of each claim that has one."""
    found = {}
    for path in sorted((ROOT / "tests/claims").glob("test_c[0-9][0-9]_*.py")):
        found[path.name[5:8].upper()] = path
    return found


def chosen() -> list[str]:
    """The claims to measure: those that ONLY names, or all."""
    wanted = os.environ.get("ONLY", "").replace(",", " ").upper().split()
    if not wanted and "ONLY" in os.environ:
        raise Problem("ONLY is empty: name claims, such as ONLY=C20,C21, or leave it out to measure all")
    for name in wanted:
        if name not in files():
            raise Problem(f"ONLY={name} is not a claim here: choose from {', '.join(files())}")
    return wanted or list(files())


def progress(done: str) -> str:
    """How far the run is, and how long the rest took last time."""
    names = os.environ.get("CLAIMS_CHOSEN", "").split()
    if done not in names or len(names) == 1:
        return ""
    rest = names[names.index(done) + 1 :]
    left = sum((read(name) or {}).get("seconds", 20) for name in rest)
    return f"[{names.index(done) + 1} of {len(names)}; about {left / 60:.0f} min left]"


def pins() -> list[str]:
    """The releases that PINS names in place of the locked ones: for the claims that measure in the probe image."""
    wanted = os.environ.get("PINS", "").replace(",", " ").split()
    for pin in wanted:
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin):
            raise Problem(f"PINS={pin} is not a release: give name==version, such as gunicorn==23.0.0")
    return wanted


def pinnable(names: list[str]) -> None:
    """Refuses PINS for claims whose servers are not in the probe image: they would be measured on the locked ones."""
    if other := sorted(set(names) - {*IN_PROBE_IMAGE}):
        which = "all" if len(names) == len(files()) else ", ".join(other)
        raise Problem(f"PINS is for {', '.join(IN_PROBE_IMAGE)}, not for {which}: make claims ONLY=C18 PINS=…")


def run() -> None:
    """Measures, and writes the page; what was concluded before an interruption or a failure is kept."""
    settings.spelling(os.environ.get("MAKEFLAGS", ""))
    names, pinned = chosen(), pins()
    if pinned:
        pinnable(names)
    build_all()
    print(f"claims: {len(names)} to measure" + (f", with {' '.join(pinned)}" if pinned else ""), flush=True)
    command = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "--record", "-q", "--no-header"]
    command += [str(files()[name]) for name in names] + ["-m", "long or not long"]
    done = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"CLAIMS_CHOSEN": " ".join(names)})
    interrupted = False
    try:
        code = done.wait()
    except KeyboardInterrupt:
        code = done.wait()  # pytest had the same signal, and removes its stacks
        interrupted = True
    render()
    page = PAGE.relative_to(ROOT)
    if code == NOTHING_ASKED:
        raise Problem("nothing was measured: the reason is above")
    if interrupted:
        raise Problem(f"interrupted: {page} has what was concluded so far, and the verdicts of before for the rest")
    print(f"claims: {page} written ({(time.monotonic() - STARTED) / 60:.1f} min)")
    if code:
        raise Problem("not every claim has a verdict from this run: the reasons are above")


def summary() -> str:
    """How many claims got which verdict, in a sentence."""
    verdicts = [record["verdict"] for name in IDS if (record := read(name))]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(sorted(verdicts))}
    parts = ", ".join(f"{number} “{verdict}”" for verdict, number in counts.items())
    rest = len(IDS) - len(verdicts)
    return f"Of {len(IDS)} claims: {parts}" + (f", {rest} not measured" if rest else "") + "."


def cell(text: str) -> str:
    """A text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(columns: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    body = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in body)


def page() -> str:
    """docs/claims.md, from the records."""
    found = {name: read(name) for name in IDS}
    records = [record for record in found.values() if record]
    conditions: list[dict[str, Any]] = []
    lines = []
    for name, record in found.items():
        if not record:
            lines.append([name, "", "no verdict", "not measured", "", ""])
            continue
        if record["conditions"] not in conditions:
            conditions.append(record["conditions"])
        where = conditions.index(record["conditions"]) + 1
        tests = ", ".join(f"[`{test}`](../{record['file']})" for test in record["tests"][:1])
        tests += f" and {len(record['tests']) - 1} more" if len(record["tests"]) > 1 else ""
        label = f"[{name}](#{name.lower()})" if record["tables"] else name
        verdict = f"**{record['verdict']}**"
        lines.append(
            [label, record["says"], verdict, record["evidence"], f"{record['date']} ([{where}](#conditions))", tests]
        )
    parts = [INTRODUCTION, summary(), ""]
    parts += [table(["", "the documents say", "verdict", "measured", "date (conditions)", "test"], lines), ""]
    for record in records:
        if record["tables"]:
            parts += [f"## {record['id']}", "", record["says"], ""]
        for one in record["tables"]:
            parts += [f"### {one['title']}", "", table(one["columns"], one["rows"]), ""]
            parts += [one["note"], ""] if one["note"] else []
    parts += ["## Conditions", ""]
    for number, one in enumerate(conditions, 1):
        versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
        parts += [f"{number}. {versions}. Machine: {one['machine']}. Client: {one['client']}.", ""]
    parts += [
        "## Tests",
        "",
        "A claim's own tests passed when its verdict was computed; the others show it, too, in `make test`.",
        "",
    ]
    for record in records:
        own = defined(ROOT / record["file"])
        said = ", ".join(f"`{one}`" for one in record["tests"] if one in own)
        others = ", ".join(f"`{one}`" for one in record["tests"] if one not in own)
        parts.append(f"- [{record['id']}](../{record['file']}): {said}" + (f"; others: {others}" if others else ""))
    return "\n".join(parts) + "\n"


def render() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())


def defined(file: Path) -> set[str]:
    """The test functions of a file."""
    return set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))


def names_of_tests() -> set[str]:
    """Every test function that the project has."""
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in defined(path)}
