"""What a run of the bench measures, in which order, and what makes a window not count."""

from collections import Counter
from typing import Any

import pytest

from apps import serve
from loadtests.analysis.validity import gates
from loadtests.run import plan
from stack import Problem

GOOD: dict[str, Any] = {
    "mode": "rate", "seconds": 2.0, "requests": 400, "offered": 200.0, "clients": 16, "errors": {},
    "latency": {"mean": 1.0}, "cpu": {"app": 0.1, "generator": 0.5}, "host": 0.01, "saturation": 0.3,
}  # fmt: skip


def test_the_default_plan_has_every_server_each_way_and_one_twin() -> None:
    wanted = plan.read({}, 1)
    pairs = [(server, interface) for server, interfaces in serve.servers().items() for interface in interfaces]
    assert Counter((one.server, one.interface) for one in wanted.blocks if not one.pair) == Counter(
        [*pairs, ("none", "")]
    )
    assert [one.server for one in wanted.blocks if one.pair] == ["granian"]
    assert {cell.route for one in wanted.blocks for cell in one.cells} == {"direct", "nginx", "caddy"}
    each = (len(pairs) + 1) * 3 + 2  # the proxies' own answers are two
    assert (wanted.rounds, wanted.windows) == (8, (8 + plan.RATES) * each)
    assert wanted.seconds < 20 * 60 and plan.read({"QUICK": "1"}, 1).seconds < 4 * 60


def test_every_round_has_all_blocks_in_an_order_of_its_own_and_the_same_again_when_resumed() -> None:
    first, again = (plan.read({}, 7) for _ in range(2))
    orders = [first.order(number) for number in range(first.rounds)]
    assert orders == [again.order(number) for number in range(again.rounds)]
    assert len({tuple(block[:5] for block in one) for one in orders}) == first.rounds
    every = Counter(cell for one in orders for block in one for cell in block.cells)
    assert every.keys() == {cell for block in first.blocks for cell in block.cells}
    assert {(cell.mode, count) for cell, count in every.items()} == {("ceiling", 8), ("rate", plan.RATES)}


@pytest.mark.parametrize(("rounds", "modes", "often"), [("3", "", 3), ("5", "", 5), ("17", "", 5), ("9", "rate", 9)])
def test_the_fixed_rate_has_its_windows_in_a_few_rounds_evenly_spread(rounds: str, modes: str, often: int) -> None:
    wanted = plan.read({"ROUNDS": rounds, "MODES": modes}, 1)
    places = [number for number in range(wanted.rounds) if "rate" in wanted.modes(number)]
    assert len(places) == often and places[0] == 0
    apart = [after - before for before, after in zip(places, [*places[1:], wanted.rounds], strict=True)]
    assert max(apart) - min(apart) <= 1


def test_a_server_without_workers_is_measured_with_one_only() -> None:
    wanted = plan.read({"SERVERS": "daphne,uvicorn", "INTERFACES": "asgi", "WORKERS": "1,2"}, 1)
    assert Counter((one.server, one.workers) for one in wanted.blocks if not one.pair) == Counter(
        [("daphne", 1), ("uvicorn", 1), ("uvicorn", 2), ("none", 1)]
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"SERVERS": "granain"}, "SERVERS=granain is not one of these: daphne, granian"),
        ({"PROXIES": "iis"}, "PROXIES=iis is not one of these: direct, nginx"),
        ({"SCENARIOS": "hallo"}, "SCENARIOS=hallo is not one of these: burn, connections|download, hello"),
        ({"ROUNDS": "0"}, "ROUNDS=0 is not a whole number from 1 to 99"),
        ({"RATE": "fast"}, "RATE=fast is not a whole number"),
        ({"QUICK": "1", "FULL": "1"}, "QUICK and FULL are two plans"),
        ({"SERVERS": "daphne", "INTERFACES": "wsgi"}, "nothing is left to measure"),
        ({"DEARER": "granian"}, "DEARER=granian is not a server, its interface and µs a request"),
        ({"HTTP": "4"}, "HTTP=4 is not one of these: 1.1, 2, 3"),
    ],
)
def test_a_wrong_plan_is_one_clear_line(given: dict[str, str], problem: str) -> None:
    with pytest.raises(Problem, match=problem):
        plan.read(given, 1)


def test_a_good_window_has_no_gate() -> None:
    assert gates(GOOD) == []


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"errors": {"status 502": 3}}, "errors"),
        ({"requests": 0, "errors": {"TimeoutError": 1}}, "errors"),
        ({"saturation": 0.93}, "generator"),
        ({"requests": 380}, "rate"),
        ({"mode": "ceiling", "requests": 40_000}, "Little's law"),
        ({"mode": "ceiling", "requests": 20_000}, "Little's law"),
        ({"host": 0.2}, "machine"),
    ],
)
def test_a_bad_window_is_marked_with_its_reason(change: dict[str, Any], gate: str) -> None:
    found = gates(GOOD | change)
    assert gate in {one["gate"] for one in found} and all(one["why"] for one in found)


def test_an_end_or_a_hold_of_a_container_is_a_gate() -> None:
    assert [one["gate"] for one in gates(GOOD, restarts=1)] == ["restart"]
    assert [one["gate"] for one in gates(GOOD, throttled=4)] == ["throttled"]


def test_times_that_wrk_has_made_longer_bound_littles_law_on_one_side() -> None:
    wrk = GOOD | {"mode": "ceiling", "corrected": True}
    assert gates(wrk | {"requests": 40_000}) == []
    assert [one["gate"] for one in gates(wrk | {"requests": 20_000})] == ["Little's law"]
