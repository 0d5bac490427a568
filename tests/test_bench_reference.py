"""The bench's reference run: what docs/bench, the README's figures and its picture say. No container runs here."""

import re
import shutil
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests.analysis import records
from loadtests.report import reference
from stack import ROOT, Problem
from tests.support.fabricated_runs import COSTS, make_default_run, make_findings_run, make_run, rename_back
from tools import docs

FILES = ["cost.svg", "machine.json", "report.md", "runs.jsonl", "summary.json"]


def test_the_readme_shows_what_the_reference_run_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "docs/bench"
    monkeypatch.setattr(docs, "BENCH", folder)
    assert docs.bench() == "" and "µs" not in docs.servers()  # as long as there is none
    reference.take(make_run(tmp_path / "2026-11-22-default", make_default_run(1, 0.02)), folder)
    reference.write(folder)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    shown = docs.bench()
    assert shown.startswith("![CPU time") and "](docs/bench/cost.svg)\nDirect: least 3" in shown
    assert "; [everything](docs/bench/report.md)." in shown and "2 cores (a <CPU>)" in shown
    added = dict(re.findall(r"^\| (nginx|caddy) \| (\d.*) \|$", shown, re.MULTILINE))
    assert [float(figure) for figure in added["nginx"].split(" | ")[:4]] == pytest.approx([44, 44, 44, 10], rel=0.1)
    assert [float(figure) for figure in added["caddy"].split(" | ")[:4]] == pytest.approx([180, 180, 180, 50], rel=0.1)
    monkeypatch.undo()
    monkeypatch.setattr(docs, "BENCH", folder)
    rows = dict(re.findall(r"^\| \[`(\w+)`\].*\| asgi \|.* \| (.*?) \|$", docs.servers(), re.MULTILINE))
    assert re.fullmatch(r"\d\S+ · \d\S+ · \d\S+", rows["granian"])
    assert "µs a request: direct, nginx, caddy" in docs.servers()
    assert sum(file.stat().st_size for file in folder.iterdir()) < reference.MOST_BYTES
    assert sorted(file.name for file in folder.iterdir()) == FILES


def test_what_is_committed_of_the_reference_run_follows_from_its_records(tmp_path: Path) -> None:
    folder = docs.BENCH
    if not folder.is_dir():  # before the first reference run: nothing may pretend to be one
        assert "docs/bench" not in (ROOT / "README.md").read_text()
        return
    for name in ("runs.jsonl", "machine.json"):
        shutil.copy2(folder / name, tmp_path)
    reference.write(tmp_path)
    for name in FILES:
        assert (folder / name).read_text() == (tmp_path / name).read_text(), name


def test_a_run_with_the_field_names_of_before_is_taken_under_those_of_now(tmp_path: Path) -> None:
    lines = make_default_run(1, 0.02)
    before = make_run(tmp_path / "before", [rename_back(line) for line in lines])
    reference.take(before, tmp_path / "out")
    text = (tmp_path / "out/runs.jsonl").read_text()
    assert '"route":' in text and '"proxy":"' not in text and '"gates"' not in text
    assert records.read(tmp_path / "out").cells.keys() == before.cells.keys()


def test_a_short_readme_is_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_reference_is_taken_of_a_run_that_is_not_whole(tmp_path: Path) -> None:
    broken = make_run(tmp_path / "broken", make_default_run(1, 0.02), interrupted=True)
    with pytest.raises(Problem, match=r"^broken was interrupted: `make bench RUN=broken` finishes it$"):
        reference.take(broken, tmp_path / "out")
    other = make_run(tmp_path / "other", make_findings_run())
    with pytest.raises(Problem, match=r"^other has no ceilings of hello"):
        reference.take(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_picture_stands_alone_in_light_and_dark(tmp_path: Path) -> None:
    drawn = reference.draw(make_run(tmp_path / "run", make_default_run(1, 0.02)))
    assert "prefers-color-scheme: dark" in drawn and 'xmlns="http://www.w3.org/2000/svg"' in drawn
    assert not re.search(r"<script|@import|href|url\(", drawn)
    tree = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "gunicorn-uvicorn asgi" in texts and {"direct", "nginx", "caddy"} <= set(texts)
    kinds = [element.get("class", "") for element in tree.iter()]
    marks = Counter(kind for kind in kinds if kind.startswith("route"))
    assert marks == dict.fromkeys(("route0", "route1", "route2"), len(COSTS) + 1)  # each route has one in the legend
