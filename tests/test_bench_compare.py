"""`make compare`: which verdicts two runs give, from fabricated records. No container runs here."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadtests.analysis import measures, records
from loadtests.analysis.compare import compare_runs, main
from loadtests.analysis.records import Run
from loadtests.analysis.verdicts import find_ratios, judge_cells, judge_servers
from stack import ROOT, Problem
from tests.support.fabricated_runs import COSTS, SATURATED, SLOWER, make_default_run, make_record, make_run


def slow_applications(run: Run) -> None:
    """Makes every application of a run cost half as much again."""
    for measured in run.cells.values():
        for window in measured.windows:
            window.cpu["app"] *= 1.5


def test_equal_runs_tie_and_a_server_10_percent_slower_is_found(tmp_path: Path) -> None:
    """Both error rates, at 2 to 4 % of noise in a window and up to 10 % of drift between the runs."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    findings: Counter[float] = Counter()
    direct, others, times = 0, 0, 24
    for seed in range(times):
        noise, drift = (0.02, 0.03, 0.04)[seed % 3], 0.9 + 0.2 * seed / times
        a, same, slowed = (
            make_run(tmp_path / f"{seed}-{place}", make_default_run(3 * seed + place, noise, run_drift, slowdown))
            for place, (run_drift, slowdown) in enumerate([(1.0, 1.0), (drift, 1.0), (drift, 1.1)])
        )
        for mode, measure in measures.JUDGED:
            comparison = judge_cells(a, same, mode, measure, find_ratios(a, same, mode, measure).by_cell)
            counts = verdicts.setdefault((mode, measure.name), Counter())
            counts.update(line.verdict for line in comparison.lines)
        verdicts.setdefault(("", "servers"), Counter()).update(line.verdict for line in judge_servers(a, same).lines)
        for line in judge_servers(a, slowed).lines:
            is_slowed = (line.cell.server, line.cell.interface) == SLOWER
            findings[noise] += is_slowed and line.verdict == "slower"
            others += not is_slowed and line.verdict != "tie"
        ratios = find_ratios(a, slowed, "ceiling", measures.COST)
        direct += any(
            (line.cell.server, line.cell.interface, line.cell.route, line.verdict) == (*SLOWER, "direct", "slower")
            for line in judge_cells(a, slowed, "ceiling", measures.COST, ratios.by_cell).lines
        )
    print(f"{verdicts}; slowdown found: {findings} of {times}, in its direct cell {direct}; others {others}")
    for counts in verdicts.values():
        assert counts["tie"] / counts.total() >= 0.97
    assert findings[0.02] == findings[0.03] == times / 3 and findings[0.04] >= 0.7 * times / 3
    assert direct >= 0.6 * times
    assert others / (times * (len(COSTS) - 1)) <= 0.05


def test_compare_names_what_differs_first_and_counts(tmp_path: Path) -> None:
    a = make_run(tmp_path / "one", make_default_run(1, 0.01))
    b = make_run(tmp_path / "two", make_default_run(2, 0.01, 1.05, 1.3), versions={"granian": "2.9.0"})
    text = compare_runs(a, b)
    assert "granian: 2.8.7 → 2.9.0" in text and re.search(
        r"4\d of 47 intervals of the runs hold 1\. Above, each interval is 1\.\d\d times as wide\.", text
    )
    first = text.partition("ceiling: ")[2].splitlines()[1]
    assert re.match(r" +uvicorn asgi \w+ .* 1\.\d{3}  1\.\d{3}–1\.\d{3}  slower$", first), first
    assert re.search(r"Machine drift: ×1\.0[3-7]\d from A to B, by the median of all \d+ cells", text)
    assert re.search(r"uvicorn asgi +[\d.]+ +[\d.]+ +1\.[23]\d\d .*slower", text.partition("servers: ")[2])
    counts = re.search(r"B is (\d+) faster, (\d+) slower, (\d+) tie, (\d+) not compared$", text)
    assert counts and sum(map(int, counts.groups())) == 2 * len(a.cells) and counts[4] == "0"
    assert int(counts[2]) >= 6 and int(counts[1]) <= len(a.cells) / 20


def test_few_cells_are_compared_by_the_baselines(tmp_path: Path) -> None:
    a = make_run(tmp_path / "one", make_default_run(1, 0.005, servers=0))
    b = make_run(tmp_path / "two", make_default_run(2, 0.005, 1.2, servers=0))
    slow_applications(b)
    ratios = find_ratios(a, b, "ceiling", measures.COST)
    assert ratios.reference == "the proxies' own answers" and ratios.drift == pytest.approx(1.2, rel=0.05)
    lines = judge_cells(a, b, "ceiling", measures.COST, ratios.by_cell).lines
    assert {line.verdict for line in lines if line.cell.server != "none"} == {"slower"}


def test_a_change_of_all_servers_is_warned_of(tmp_path: Path) -> None:
    a, b = (
        make_run(tmp_path / "one", make_default_run(1, 0.01)),
        make_run(tmp_path / "two", make_default_run(2, 0.01)),
    )
    assert "all servers share" not in compare_runs(a, b)
    slow_applications(b)
    assert "something that all servers share may have changed" in compare_runs(a, b)


def test_a_cell_without_a_window_that_counts_is_not_compared(tmp_path: Path) -> None:
    lines = make_default_run(1, 0.01)
    a = make_run(tmp_path / "one", lines)
    for line in lines:
        if (line["server"], line["interface"], line["route"], line["mode"]) == (*SLOWER, "direct", "ceiling"):
            line["invalid"] = [SATURATED]
    text = compare_runs(a, make_run(tmp_path / "two", lines))
    assert re.search(r"uvicorn asgi direct +\d[\d\u202f]+ +≥ \d[\d\u202f]+ +not compared", text)
    assert text.endswith("1 not compared")


def test_an_unknown_run_is_answered_with_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    with pytest.raises(Problem, match=r"B is not given: .*there is none yet: `make bench` makes one"):
        main({"A": "one"})
    make_run(tmp_path / "one", make_default_run(1, 0.01))
    with pytest.raises(Problem, match=r"^two is not a run: there are one$"):
        main({"A": "one", "B": "two"})
    make_run(tmp_path / "two", [make_record("granian", "asgi", "direct", "rate", 0) | {"scenario": "login"}])
    with pytest.raises(Problem, match="one and two have no cell in common"):
        main({"A": "one", "B": "two"})


def test_the_command_says_a_mistake_in_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadtests", "compare"], cwd=ROOT, capture_output=True, text=True, env={}
    )
    assert done.returncode == 1 and done.stderr.startswith("compare: A is not given") and done.stderr.count("\n") == 1
