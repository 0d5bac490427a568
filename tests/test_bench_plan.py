"""What a run of the bench measures, in which order, and which windows are invalid."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.runtime import serve
from loadtests.analysis import records
from loadtests.analysis.validity import find_invalidities
from loadtests.run.plan import RATES, Plan
from loadtests.run.run_folder import RunFolder, resume
from loadtests.run.variables import read_plan
from loadtests.window import Cell, Window
from stack import Problem

CELL = Cell("hello", "granian", mode="rate")
CEILING = CELL._replace(mode="ceiling")
GOOD = Window(
    CELL, seconds=2.0, requests=400, offered=200.0, clients=16, latency={"mean": 1.0},
    cpu={"app": 0.1, "generator": 0.5}, others=0.01, saturation=0.3,
)  # fmt: skip


def count_starts(plan: Plan, *fields: str) -> Counter[tuple[Any, ...]]:
    """The blocks of a plan by some of their fields, without the second half of the A/A pairs."""
    return Counter(tuple(getattr(block, name) for name in fields) for block in plan.blocks if not block.pair)


def test_the_default_plan_has_every_server_on_each_route_and_one_pair() -> None:
    plan = read_plan({}, 1)
    assert count_starts(plan, "server", "interface") == Counter([*serve.pairs(), ("none", "")])
    assert [block.server for block in plan.blocks if block.pair] == ["granian"]
    assert {cell.route for block in plan.blocks for cell in block.cells} == {"direct", "nginx", "caddy"}
    each = (len(serve.pairs()) + 1) * 3 + 2  # the proxies' own answers are two
    assert (plan.rounds, plan.windows) == (8, (8 + RATES) * each)
    assert plan.seconds < 20 * 60 and read_plan({"QUICK": "1"}, 1).seconds < 4 * 60


def test_every_round_has_all_blocks_in_an_order_of_its_own_and_the_same_again_when_resumed() -> None:
    first, again = (read_plan({}, 7) for _ in range(2))
    orders = [first.order(number) for number in range(first.rounds)]
    assert orders == [again.order(number) for number in range(again.rounds)]
    assert len({tuple(block[:5] for block in order) for order in orders}) == first.rounds
    windows = Counter(cell for order in orders for block in order for cell in block.cells)
    assert windows.keys() == {cell for block in first.blocks for cell in block.cells}
    assert {(cell.mode, count) for cell, count in windows.items()} == {("ceiling", 8), ("rate", RATES)}


@pytest.mark.parametrize(("rounds", "modes", "often"), [("3", "", 3), ("5", "", 5), ("17", "", 5), ("9", "rate", 9)])
def test_the_fixed_rate_has_its_windows_in_a_few_rounds_evenly_spread(rounds: str, modes: str, often: int) -> None:
    plan = read_plan({"ROUNDS": rounds, "MODES": modes}, 1)
    places = [number for number in range(plan.rounds) if "rate" in plan.modes(number)]
    assert len(places) == often and places[0] == 0
    apart = [after - before for before, after in zip(places, [*places[1:], plan.rounds], strict=True)]
    assert max(apart) - min(apart) <= 1


def test_a_server_without_workers_is_measured_with_one_only() -> None:
    plan = read_plan({"SERVERS": "daphne,uvicorn", "INTERFACES": "asgi", "WORKERS": "1,2"}, 1)
    assert count_starts(plan, "server", "workers") == Counter(
        [("daphne", 1), ("uvicorn", 1), ("uvicorn", 2), ("none", 1)]
    )


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"SERVERS": "granain"}, "SERVERS=granain is not one of these: daphne, granian"),
        ({"PROXIES": "squid"}, "PROXIES=squid is not one of these: direct, nginx"),
        ({"SCENARIOS": "hallo"}, "SCENARIOS=hallo is not one of these: burn, connections|download, hello"),
        ({"ROUNDS": "0"}, "ROUNDS=0 is not a whole number from 1 to 99"),
        ({"RATE": "fast"}, "RATE=fast is not a whole number"),
        ({"QUICK": "1", "FULL": "1"}, "QUICK and FULL are two plans"),
        ({"SERVERS": "daphne", "INTERFACES": "wsgi"}, "nothing is left to measure"),
        ({"SLOWDOWN": "granian"}, "SLOWDOWN=granian is not a server, its interface and µs a request"),
        ({"HTTP": "4"}, "HTTP=4 is not one of these: 1.1, 2, 3"),
    ],
)
def test_a_wrong_plan_is_one_clear_line(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(Problem, match=problem):
        read_plan(variables, 1)


def test_a_run_of_before_goes_on_with_its_plan_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    for name, variables in (("old", {"DEARER": "granian/asgi:8"}), ("strange", {"COLOUR": "red"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text(json.dumps({"variables": variables, "seed": 7}))
    run = resume("old", {})
    assert run.plan == read_plan({"SLOWDOWN": "granian/asgi:8"}, 7)
    assert run.plan.slowdown == {"granian/asgi": 8}
    for name, variables, problem in (
        ("strange", {}, "RUN=strange began with COLOUR, which the bench no longer reads: begin a new run"),
        ("none", {}, "RUN=none is not a run to go on with"),
        ("old", {"ROUNDS": "3"}, "RUN=old goes on as it began: leave out ROUNDS"),
    ):
        with pytest.raises(Problem, match=problem):
            resume(name, variables)


def test_what_a_run_has_measured_is_not_measured_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, read_plan({"QUICK": "1"}, 7))
    starts = run.find_due()
    assert sum(len(start.block.cells) for start in starts) == run.plan.windows
    for cell in starts[0].block.cells:
        run.write_window(Window(cell), starts[0])
    run.write_unmeasured(starts[1].block.cells[0], "fails the contract")
    with run.records_file.open("a") as file:
        file.write('{"scenario": "hel')  # a run that was killed while it wrote
    run.remove_unfinished_line()
    assert len(run.read_records()) == len(starts[0].block.cells) + 1
    due = run.find_due()
    assert (due[0].round, due[0].place) == (starts[1].round, starts[1].place)
    assert starts[1].block.cells[0] not in {cell for start in due for cell in start.block.cells}


def test_a_good_window_breaks_no_rule() -> None:
    assert find_invalidities(GOOD) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"errors": {"status 502": 3}}, "errors"),
        ({"requests": 0, "errors": {"TimeoutError": 1}}, "errors"),
        ({"saturation": 0.93}, "generator"),
        ({"requests": 380}, "rate"),
        ({"cell": CEILING, "requests": 40_000}, "Little's law"),
        ({"cell": CEILING, "requests": 20_000}, "Little's law"),
        ({"others": 0.2}, "machine"),
    ],
)
def test_a_bad_window_is_marked_with_its_reason(change: dict[str, Any], rule: str) -> None:
    invalidities = find_invalidities(replace(GOOD, **change))
    assert rule in {invalidity.rule for invalidity in invalidities}
    assert all(invalidity.reason for invalidity in invalidities)


def test_an_end_or_a_hold_of_a_container_is_a_reason() -> None:
    assert [invalidity.rule for invalidity in find_invalidities(GOOD, restarts=1)] == ["restart"]
    assert [invalidity.rule for invalidity in find_invalidities(GOOD, throttled=4)] == ["throttled"]


def test_times_that_wrk_has_made_longer_bound_littles_law_on_one_side() -> None:
    wrk = replace(GOOD, cell=CEILING, corrected=True)
    assert find_invalidities(replace(wrk, requests=40_000)) == []
    (invalidity,) = find_invalidities(replace(wrk, requests=20_000))
    assert invalidity.rule == "Little's law"
