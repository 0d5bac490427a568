"""What the bench reads from a run's files: windows, cells and their figures. No container runs here."""

from pathlib import Path

import pytest

from loadtests.analysis import measures, records
from loadtests.analysis.records import MeasuredCell
from loadtests.window import Cell, Invalidity, Window
from stack import Problem
from tests.support.fabricated_runs import (
    make_default_run,
    make_findings_run,
    make_record,
    make_run,
    rename_back,
)


def test_what_slows_the_probe_and_a_request_alike_is_the_machine(tmp_path: Path) -> None:
    slow = [1.0, 1.9, 1.2, 1.7, 1.0]  # what a neighbour on the same physical core does to both
    lines = [
        make_record("granian", "asgi", "nginx", "ceiling", number)
        | {"cpu": {"app": 0.02 * times, "proxy": 0.01 * times, "engine": 0.01 * times, "generator": 0.03}}
        | {"probe_time": 250 * times, "requests": 200}
        for number, times in enumerate(slow)
    ]
    (measured,) = make_run(tmp_path / "probed", lines).cells.values()
    for measure, value in ((measures.COST, 150), (measures.APP, 100), (measures.PROXY, 50)):
        assert measured.find_median(measure) == pytest.approx((value, value, value, 5))
    assert measured.find_median(measures.ENGINE) == pytest.approx((50, 60, 95, 5)), "no probe is where the engine runs"
    (raw,) = make_run(tmp_path / "raw", [line | {"probe_time": 0} for line in lines]).cells.values()
    assert raw.find_median(measures.COST) == pytest.approx((150, 180, 285, 5)), "without a probe it is as it was"


def test_percentiles_of_all_rounds_are_those_of_all_answers() -> None:
    measured = MeasuredCell(Cell("hello", "granian"))
    for number, times in enumerate(({"1": 500, "2": 480, "9": 20}, {"1": 500, "3": 499, "70": 1}, {"5": 1000})):
        invalid = [Invalidity("errors", "status 502")] if number == 2 else []
        measured.windows.append(Window(measured.cell, round=number, times=times, invalid=invalid))
    assert measured.find_percentiles(0.0, 0.4, 0.5, 0.95, 0.99, 0.999, 1.0) == [1, 1, 2, 3, 9, 9, 70]
    assert MeasuredCell(measured.cell).find_percentiles(0.5) == []


def test_a_run_with_the_field_names_of_before_is_read_as_one_of_now(tmp_path: Path) -> None:
    lines = [*make_default_run(1, 0.02), *make_findings_run()]
    lines.append(lines[0] | {"round": 9, "probe_time": 260.0})
    lines.append({name: lines[0][name] for name in Cell._fields} | {"server": "daphne", "unmeasured": "no answer"})
    old_lines = [rename_back(line) for line in lines]
    assert {"proxy", "twin", "gates", "host", "warm", "peak"} <= old_lines[0].keys() and "gauge" in old_lines[-2]
    assert any(entry.keys() == {"gate", "why"} for line in old_lines for entry in line.get("gates", []))
    now, before = make_run(tmp_path / "now", lines), make_run(tmp_path / "before", old_lines)
    assert before.cells == now.cells


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "it has no runs.jsonl"),
        ({"runs.jsonl": "{}"}, "it has no machine.json"),
        ({"runs.jsonl": "", "machine.json": "{}"}, "is empty: nothing was measured"),
        ({"runs.jsonl": '{"scenario"', "machine.json": "{}"}, "line 1 of .*runs.jsonl is not JSON"),
        ({"runs.jsonl": "[]", "machine.json": "{}"}, "line 1 of .* is not a JSON object"),
        (
            {"runs.jsonl": '{"scenario": "hello", "cpu": {}}', "machine.json": "{}"},
            "line 1 of .* lacks errors, invalid",
        ),
        (
            {"runs.jsonl": '{"scenario": "a", "server": "b", "unmeasured": "c"}', "machine.json": "x"},
            "machine.json is not",
        ),
    ],
)
def test_a_run_that_cannot_be_read_is_named_in_a_line(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(Problem, match=problem) as caught:
        records.read(tmp_path)
    assert "\n" not in str(caught.value)
