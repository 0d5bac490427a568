"""`make reference RUN=<run>`: takes a run into docs/bench. The README's figures and picture are made from there.

The README shows hello on the routes of the default plan. tools/docs.py reads the `summary.json` that is written here.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.analysis import measures, records
from loadtests.analysis.records import Run
from loadtests.analysis.wording import format_number
from loadtests.report import page, picture
from loadtests.report.cells import Grid
from loadtests.report.questions import ADDED_COLUMNS, answer_cost, list_added
from loadtests.window import NO_SERVER, read_cell, read_window, write_record
from stack import ROOT, Problem, settings
from tools import docs

FOLDER = docs.BENCH
MOST_BYTES = 1_000_000  # of a repository for one run
UNUSED = {"started", "block"}  # fields of a window that no reader of a reference needs


def take(run: Run, folder: Path) -> None:
    """Writes a run's records to a folder, in short lines with present field names; `Problem` if it is no reference."""
    if run.machine.get("interrupted"):
        raise Problem(f"{run.name} was interrupted: `make bench RUN={run.name}` finishes it")
    if not read_hello(run).rows:
        raise Problem(f"{run.name} has no ceilings of hello: a reference is a run of `make bench`")
    lines = (run.folder / "runs.jsonl").read_text().splitlines()
    content = "".join(shorten(json.loads(line)) + "\n" for line in lines)
    if len(content) > MOST_BYTES:
        raise Problem(f"{run.name} has {len(content):,} bytes of records: a reference has at most {MOST_BYTES:,}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.jsonl").write_text(content)
    machine = json.dumps({"run": run.name, **run.machine}, indent=1, ensure_ascii=False)
    (folder / "machine.json").write_text(machine + "\n")


def shorten(record: Mapping[str, Any]) -> str:
    """A record as a short line, without the unused fields."""
    if "unmeasured" in record:
        fields = read_cell(record)._asdict() | {"unmeasured": record["unmeasured"]}
    else:
        fields = {name: value for name, value in write_record(read_window(record)).items() if name not in UNUSED}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def write(folder: Path) -> dict[str, str]:
    """Writes the files that follow from a folder's records, and returns the content of each by name."""
    run = records.read(folder)
    page.write(folder)
    (folder / "report.html").unlink()  # GitHub shows its source; `make report RUN=docs/bench` makes it
    contents = {
        "summary.json": json.dumps(summarize(run), indent=1, ensure_ascii=False) + "\n",
        "cost.svg": draw(run),
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    return {**contents, "report.md": (folder / "report.md").read_text()}


def read_hello(run: Run) -> Grid:
    """What the README shows: the cost of hello."""
    return Grid(run, "hello", "", "ceiling", measures.COST)


def summarize(run: Run) -> dict[str, Any]:
    """The figures for the README.

    `costs` has each server's µs a request on each of the `routes`. `added` has what each proxy adds, as rows under
    `added_columns`. `answer` and `conditions` are sentences.
    """
    grid = read_hello(run)
    routes = grid.routes[: len(picture.ROUTES)]
    costs: dict[str, list[str]] = {}
    for row in grid.rows:
        if row.app == "bare" and row.workers == 1:
            medians = [grid.find_median(row, route) for route in routes]
            costs[f"{row.server} {row.interface}"] = [
                format_number(median.middle) if median else "–" for median in medians
            ]
    return {
        "routes": routes,
        "costs": costs,
        "answer": answer_cost(grid).answer,
        "added_columns": list(ADDED_COLUMNS),
        "added": list_added(grid),
        "conditions": page.describe_conditions(run),
    }


def draw(run: Run) -> str:
    """The picture: every server's cost, direct and behind each proxy."""
    grid = read_hello(run)
    routes = grid.routes[: len(picture.ROUTES)]
    letters = {route: grid.assign_letters(route) for route in routes}
    rows = [
        picture.PictureRow(
            grid.name_row(row), [(grid.find_median(row, route), letters[route].get(row, "")) for route in routes]
        )
        for row in grid.rows
        if row.server != NO_SERVER
    ]
    title = "What does a request cost? CPU time of the application, and of the proxy in front of it"
    return picture.draw_picture(title, "µs; letters: ties", routes, rows)


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Takes the run that RUN names, and writes all that is made from it."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    if not environ.get("RUN"):
        raise Problem(f"RUN is not given: make reference RUN=<run>; {records.describe_runs()}")
    take(records.read(records.find(environ["RUN"])), FOLDER)
    for name in write(FOLDER):
        print(f"reference: {(FOLDER / name).relative_to(ROOT)}")
    docs.write()
