"""`make reference RUN=<run>`: takes a run into docs/bench, from which the README's figures and picture are made.

The README shows hello behind what the default plan measures. stack/docs.py reads what this file writes: it knows
nothing of the bench.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.analysis import records
from loadtests.analysis.records import Run
from loadtests.report import page, plots
from loadtests.report.grid import Grid, cost
from loadtests.report.plots import number
from loadtests.window import NO_SERVER
from stack import ROOT, Problem, settings
from tools import docs

FOLDER = docs.BENCH
MOST = 1_000_000  # bytes of a repository for one run
UNUSED = {"started", "block"}  # of a window


def take(run: Run, folder: Path) -> None:
    """Writes a run's records to a folder, in short lines; `Problem` if it is no reference."""
    if run.machine.get("interrupted"):
        raise Problem(f"{run.name} was interrupted: `make bench RUN={run.name}` finishes it")
    if not own(run).rows:
        raise Problem(f"{run.name} has no ceilings of hello: a reference is a run of `make bench`")
    written = (run.folder / "runs.jsonl").read_text().splitlines()
    lines = [{name: value for name, value in json.loads(one).items() if name not in UNUSED} for one in written]
    short = "".join(json.dumps(one, separators=(",", ":"), ensure_ascii=False) + "\n" for one in lines)
    if len(short) > MOST:
        raise Problem(f"{run.name} has {len(short):,} bytes of records: a reference has at most {MOST:,}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.jsonl").write_text(short)
    machine = json.dumps({"run": run.name, **run.machine}, indent=1, ensure_ascii=False)
    (folder / "machine.json").write_text(machine + "\n")


def write(folder: Path) -> dict[str, str]:
    """What follows from a folder's records: the content of each file, which is written, too."""
    run = records.read(folder)
    page.write(folder)
    (folder / "report.html").unlink()  # GitHub shows its source; `make report RUN=docs/bench` makes it
    found = {
        "summary.json": json.dumps(summary(run), indent=1, ensure_ascii=False) + "\n",
        "cost.svg": picture(run),
    }
    for name, content in found.items():
        (folder / name).write_text(content)
    return {**found, "report.md": (folder / "report.md").read_text()}


def own(run: Run) -> Grid:
    """What the README shows: hello's cost."""
    return Grid(run, "hello", "", "ceiling", records.COST)


def summary(run: Run) -> dict[str, Any]:
    """The figures for the README: each server's cost by way, the answer, and the conditions."""
    grid = own(run)
    ways = grid.proxies[: len(plots.WAYS)]
    costs: dict[str, list[str]] = {}
    for row in grid.rows:
        if row.app == "bare" and row.workers == 1:
            found = [grid.median(row, way) for way in ways]
            costs[f"{row.server} {row.interface}"] = [number(one.middle) if one else "–" for one in found]
    return {"ways": ways, "costs": costs, "answer": cost(grid).answer, "conditions": page.facts(run)}


def picture(run: Run) -> str:
    """Every server's cost, direct and behind each proxy."""
    grid = own(run)
    ways = grid.proxies[: len(plots.WAYS)]
    letters = {way: grid.letters(way) for way in ways}
    lines = [
        plots.Line(grid.label(row), [(grid.median(row, way), letters[way].get(row, "")) for way in ways])
        for row in grid.rows
        if row.server != NO_SERVER
    ]
    title = "What does a request cost? CPU time of the application, and of the proxy in front of it"
    unit = "µs; letters: ties"
    return plots.picture(title, unit, ways, lines)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Takes the run that RUN names, and writes all that is made from it."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    if not environ.get("RUN"):
        raise Problem(f"RUN is not given: make reference RUN=<run>; {records.known()}")
    take(records.read(records.find(environ["RUN"])), FOLDER)
    for name in write(FOLDER):
        print(f"reference: {(FOLDER / name).relative_to(ROOT)}")
    docs.write()
