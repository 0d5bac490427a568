"""What the bench says of its records: intervals, ties, marks, and verdicts between two runs. No container runs here."""

import itertools
import math
import random
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadtests.analysis import compare, intervals, records
from loadtests.analysis.intervals import Interval
from loadtests.report import page, plots
from loadtests.window import Cell
from stack import ROOT, Problem
from tests.support.fabricated_runs import COSTS, SATURATED, SLOWER, default, made, window, written

# The statistics


def test_what_slows_the_gauge_and_a_request_alike_is_the_machine(tmp_path: Path) -> None:
    slow = [1.0, 1.9, 1.2, 1.7, 1.0]  # what a neighbour on the same physical core does to both
    lines = [
        window("granian", "asgi", "nginx", "ceiling", number)
        | {"cpu": {"app": 0.02 * by, "proxy": 0.01 * by, "engine": 0.01 * by, "generator": 0.03}, "gauge": 250 * by}
        | {"requests": 200}
        for number, by in enumerate(slow)
    ]
    (record,) = made(tmp_path / "gauged", lines).records.values()
    for figure, value in ((records.COST, 150), (records.APP, 100), (records.PROXY, 50)):
        assert record.median(figure) == pytest.approx((value, value, value, 5))
    assert record.median(records.ENGINE) == pytest.approx((50, 60, 95, 5)), "no gauge is where the engine runs"
    (raw,) = made(tmp_path / "raw", [line | {"gauge": 0} for line in lines]).records.values()
    assert raw.median(records.COST) == pytest.approx((150, 180, 285, 5)), "without a gauge it is as it was"


@pytest.mark.parametrize("n", range(1, 7))
def test_the_bootstrap_of_a_median_is_what_all_resamples_give(n: int) -> None:
    values = [2.0**place for place in range(n)]
    every = Counter(statistics.median(resample) for resample in itertools.product(values, repeat=n))
    exact: Counter[float] = Counter()
    for value, count in intervals.bootstrap(values):
        exact[value] += count
    assert +exact == every


def test_the_interval_of_five_rounds_is_from_minimum_to_maximum() -> None:
    assert intervals.median([5, 1, 4, 2, 3]) == Interval(1, 3, 5, 5)


def test_the_interval_of_nine_rounds_leaves_an_outlier_out() -> None:
    # The sixth of nine draws or more is the smallest value in 0.14 % of resamples; with the second smallest, in 3.3 %.
    assert intervals.median([9, 8, 7, 6, 5, 4, 3, 2, 1000]) == Interval(3, 6, 9, 9)


def test_fewer_than_five_rounds_have_wider_intervals_than_their_range() -> None:
    low, middle, high, _ = intervals.median([1, math.e, math.e**2])
    assert (math.log(low), middle, math.log(high)) == pytest.approx((1 - 2 * 1.304, math.e, 1 + 2 * 1.304))
    assert intervals.median([7]) == Interval(0, 7, math.inf, 1)


@pytest.mark.parametrize(("n", "share"), [(2, 0.95), (3, 0.95), (4, 0.95), (5, 0.9375), (8, 0.93), (9, 0.961)])
def test_an_interval_holds_the_true_median_as_often_as_it_says(n: int, share: float) -> None:
    source = random.Random(n)  # noqa: S311
    held = [intervals.median([source.lognormvariate(0, 0.03) for _ in range(n)]) for _ in range(4000)]
    assert statistics.fmean(one.low <= 1 <= one.high for one in held) == pytest.approx(share, abs=0.012)


def test_rounds_are_compared_with_themselves() -> None:
    first = {0: 10.0, 1: 20.0, 2: 30.0, 3: 40.0, 4: 50.0, 5: 1.0}
    second = {0: 11.0, 1: 22.0, 2: 33.0, 3: 44.0, 4: 60.0}
    assert intervals.paired(first, second) == pytest.approx((1.1, 1.1, 1.2, 5))


def test_the_ratio_of_two_runs_has_the_errors_of_both() -> None:
    low, middle, high, _ = intervals.unpaired(
        Interval(math.exp(-3), 1, math.exp(3), 5), Interval(math.exp(-4), 1, math.exp(4), 5)
    )
    assert (math.log(low), middle, math.log(high)) == pytest.approx((-5, 1, 5))
    assert intervals.unpaired(Interval(0, 1, math.inf, 1), Interval(2, 2, 2, 5))[::2] == (0, math.inf)
    both = intervals.together(
        [Interval(math.exp(-3), 1, math.exp(3), 5), Interval(math.exp(-2), math.exp(2), math.exp(6), 5)]
    )
    assert [math.log(value) for value in both[:3]] == pytest.approx([1 - 2.5, 1, 1 + 2.5])


@pytest.mark.parametrize(
    ("ratio", "floor", "more_is_better", "verdict"),
    [
        (Interval(1.05, 1.10, 1.15, 5), 1.03, False, "slower"),
        (Interval(1.05, 1.10, 1.15, 5), 1.03, True, "faster"),
        (Interval(0.85, 0.90, 0.95, 5), 1.03, False, "faster"),
        (Interval(1.00, 1.10, 1.15, 5), 1.03, False, "tie"),
        (Interval(0.85, 0.90, 1.00, 5), 1.03, False, "tie"),
        (Interval(1.05, 1.10, 1.15, 5), 1.11, False, "tie"),
        (Interval(0.90, 0.91, 0.92, 5), 1.11, False, "tie"),
        (Interval(0, 1.5, math.inf, 1), 1.0, False, "tie"),
    ],
)
def test_a_verdict_needs_an_interval_without_1_and_a_difference_beyond_the_floor(
    ratio: Interval, floor: float, more_is_better: bool, verdict: str
) -> None:
    assert intervals.verdict(ratio, floor, more_is_better) == verdict


def test_the_noise_floor_is_how_far_a_cell_is_from_itself() -> None:
    assert intervals.noise_floor([Interval(0.95, 1.01, 1.04, 5)]) == pytest.approx(1 / 0.95)
    assert intervals.noise_floor([]) == 1


def test_intervals_are_widened_by_how_much_more_equal_cells_differ() -> None:
    def ratio(middle: float, half: float) -> Interval:
        return Interval(math.exp(middle - half), math.exp(middle), math.exp(middle + half), 8)

    logs = [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.9]  # the median distance to 0 is 0.02: 95 % are within 0.0581
    of_equal = 1.96 * 0.02 / 0.6745
    nothing = Interval(0, 1.5, math.inf, 1)
    assert intervals.excess([ratio(one, 0.0291) for one in logs] + [nothing]) == pytest.approx(
        of_equal / 0.0291, rel=1e-3
    )
    assert intervals.excess([ratio(one, 0.1) for one in logs]) == 1, "they differ by less than their intervals say"
    assert intervals.excess([ratio(0.5, 0.01)] * 7) == 1, "seven are too few"
    low, middle, high, _ = intervals.widened(Interval(math.exp(0.08), math.exp(0.1), math.exp(0.14), 8), 2)
    assert [math.log(one) for one in (low, middle, high)] == pytest.approx([0.06, 0.1, 0.18])
    assert intervals.widened(nothing, 2)[:3] == (0, 1.5, math.inf)


def test_rows_that_cannot_be_told_apart_share_a_letter_and_only_they() -> None:
    # 0 ties with 1 and 1 with 2, but 0 differs from 2; 3 ties with nobody.
    ties = {(0, 1), (1, 2)}
    assert intervals.letters(4, lambda i, j: (i, j) in ties) == ["a", "ab", "b", ""]
    assert intervals.letters(60, lambda i, j: True) == ["a"] * 60  # one round: all tie
    source = random.Random(0)  # noqa: S311
    for _ in range(20):
        tied = {pair for pair in itertools.combinations(range(9), 2) if source.random() < 0.5}
        letters = intervals.letters(9, lambda *pair: pair in tied)  # noqa: B023 - called at once
        for i, j in itertools.combinations(range(9), 2):
            assert bool(set(letters[i]) & set(letters[j])) == ((i, j) in tied)


def test_what_moves_all_cells_alike_is_the_machine() -> None:
    a = {
        "one": {0: 10.0, 1: 20.0},
        "two": {0: 1.0, 1: 2.0},
        "three": {0: 5.0, 1: 10.0},
    }  # the second round: twice as slow
    b = {"one": {0: 30.0, 1: 30.0}, "two": {0: 3.0, 1: 3.0}, "three": {0: 30.0, 1: 30.0}}  # all 2 times, the last 4
    (first, second), drift = intervals.level(a, b, list(a))
    assert drift == pytest.approx(2)
    assert [
        statistics.median(second[cell].values()) / statistics.median(first[cell].values()) for cell in a
    ] == pytest.approx([1, 1, 2])
    assert len(set(first["one"].values())) == 1


# Two runs


def test_equal_runs_tie_and_a_server_10_percent_dearer_is_found(tmp_path: Path) -> None:
    """Both error rates, at 2 to 4 % of noise in a window and up to 10 % of drift between the runs."""
    told: dict[tuple[str, str], Counter[str]] = {}
    found: Counter[float] = Counter()
    direct, others, times = 0, 0, 24
    for seed in range(times):
        noise, drift = (0.02, 0.03, 0.04)[seed % 3], 0.9 + 0.2 * seed / times
        a, same, dear = (
            made(tmp_path / f"{seed}-{place}", default(3 * seed + place, noise, moved, cost))
            for place, (moved, cost) in enumerate([(1.0, 1.0), (drift, 1.0), (drift, 1.1)])
        )
        for mode, figure in records.JUDGED:
            judged = compare.judge(a, same, mode, figure, compare.ratios(a, same, mode, figure).of)
            told.setdefault((mode, figure.name), Counter()).update(line.verdict for line in judged.lines)
        told.setdefault(("", "servers"), Counter()).update(line.verdict for line in compare.servers(a, same).lines)
        for line in compare.servers(a, dear).lines:
            is_dear = (line.cell.server, line.cell.interface) == SLOWER
            found[noise] += is_dear and line.verdict == "slower"
            others += not is_dear and line.verdict != "tie"
        judged = compare.judge(a, dear, "ceiling", records.COST, compare.ratios(a, dear, "ceiling", records.COST).of)
        direct += any(
            (one.cell.server, one.cell.interface, one.cell.route, one.verdict) == (*SLOWER, "direct", "slower")
            for one in judged.lines
        )
    print(f"{told}; dearer found: {found} of {times}, in its direct cell {direct}; others {others}")
    for counts in told.values():
        assert counts["tie"] / counts.total() >= 0.97
    assert found[0.02] == found[0.03] == times / 3 and found[0.04] >= 0.7 * times / 3
    assert direct >= 0.6 * times
    assert others / (times * (len(COSTS) - 1)) <= 0.05


def test_compare_names_what_differs_first_and_counts(tmp_path: Path) -> None:
    a = made(tmp_path / "one", default(1, 0.01))
    b = made(tmp_path / "two", default(2, 0.01, 1.05, 1.3), versions={"granian": "2.9.0"})
    told = compare.text(a, b)
    assert "granian: 2.8.7 → 2.9.0" in told and re.search(
        r"4\d of 47 intervals of the runs hold 1; here they are 1\.\d\d times as wide\.", told
    )
    first = told.partition("ceiling: ")[2].splitlines()[1]
    assert re.match(r" +uvicorn asgi \w+ .* 1\.\d{3}  1\.\d{3}–1\.\d{3}  slower$", first), first
    assert re.search(r"The machine: ×1\.0[3-7]\d from A to B, by the median of all \d+ cells", told)
    assert re.search(r"uvicorn asgi +[\d.]+ +[\d.]+ +1\.[23]\d\d .*slower", told.partition("servers: ")[2])
    counts = re.search(r"B is (\d+) faster, (\d+) slower, (\d+) tie, (\d+) not compared$", told)
    assert counts and sum(map(int, counts.groups())) == 2 * len(a.records) and counts[4] == "0"
    assert int(counts[2]) >= 6 and int(counts[1]) <= len(a.records) / 20


def test_few_cells_are_compared_by_the_baselines(tmp_path: Path) -> None:
    a = made(tmp_path / "one", default(1, 0.005, servers=0))
    b = made(tmp_path / "two", default(2, 0.005, 1.2, servers=0))
    for line in b.records.values():
        for one in line.windows:
            one["cpu"]["app"] *= 1.5
    found = compare.ratios(a, b, "ceiling", records.COST)
    assert found.reference == "the proxies' own answers" and found.drift == pytest.approx(1.2, rel=0.05)
    lines = compare.judge(a, b, "ceiling", records.COST, found.of).lines
    assert {line.verdict for line in lines if line.cell.server != "none"} == {"slower"}


def test_a_change_of_all_servers_is_warned_of(tmp_path: Path) -> None:
    a, b = made(tmp_path / "one", default(1, 0.01)), made(tmp_path / "two", default(2, 0.01))
    assert "all servers share" not in compare.text(a, b)
    for record in b.records.values():
        for one in record.windows:
            one["cpu"]["app"] *= 1.5
    assert "something that all servers share may have changed" in compare.text(a, b)


def test_a_cell_without_a_window_that_counts_is_not_compared(tmp_path: Path) -> None:
    lines = default(1, 0.01)
    a = made(tmp_path / "one", lines)
    for line in lines:
        if (line["server"], line["interface"], line["proxy"], line["mode"]) == (*SLOWER, "direct", "ceiling"):
            line["gates"] = [SATURATED]
    told = compare.text(a, made(tmp_path / "two", lines))
    assert re.search(r"uvicorn asgi direct +\d[\d\u202f]+ +≥ \d[\d\u202f]+ +not compared", told)
    assert told.endswith("1 not compared")


# Errors


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "it has no runs.jsonl"),
        ({"runs.jsonl": "{}"}, "it has no machine.json"),
        ({"runs.jsonl": "", "machine.json": "{}"}, "is empty: nothing was measured"),
        ({"runs.jsonl": '{"scenario"', "machine.json": "{}"}, "line 1 of .*runs.jsonl is not JSON"),
        ({"runs.jsonl": "[]", "machine.json": "{}"}, "line 1 of .* is not a JSON object"),
        ({"runs.jsonl": '{"scenario": "hello", "cpu": {}}', "machine.json": "{}"}, "line 1 of .* lacks errors, gates"),
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


def test_an_unknown_run_is_answered_with_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    with pytest.raises(Problem, match=r"B is not given: .*there is none yet: `make bench` makes one"):
        compare.main({"A": "one"})
    made(tmp_path / "one", default(1, 0.01))
    with pytest.raises(Problem, match=r"^two is not a run: there are one$"):
        compare.main({"A": "one", "B": "two"})
    made(tmp_path / "two", [window("granian", "asgi", "direct", "rate", 0) | {"scenario": "login"}])
    with pytest.raises(Problem, match="one and two have no cell in common"):
        compare.main({"A": "one", "B": "two"})


def test_the_command_says_a_mistake_in_a_line() -> None:
    done = subprocess.run([sys.executable, "-m", "loadtests.compare"], cwd=ROOT, capture_output=True, text=True, env={})
    assert done.returncode == 1 and done.stderr.startswith("compare: A is not given") and done.stderr.count("\n") == 1


# The report


def test_a_gated_window_does_not_count_and_is_told(tmp_path: Path) -> None:
    lines = [window("granian", "asgi", "direct", "rate", number) for number in range(5)]
    lines[2] |= {"requests": 1, "gates": [{"gate": "errors", "why": "449 of 450: status 502"}]}
    html, markdown = written(made(tmp_path / "run", lines))
    for text in (html, markdown):
        assert "[4 of 5 windows]" in text and "errors: 449 of 450: status 502" in text and "1 of 5" in text
    assert "0.4 (0.4–0.4) [4 of 5 windows]" in markdown and "1.10*" in html


def test_a_saturated_generator_gives_a_lower_bound(tmp_path: Path) -> None:
    lines = [
        window("granian", "asgi", "direct", "ceiling", one, requests=40000 + one, gates=[SATURATED]) for one in range(5)
    ]
    lines += [window("daphne", "asgi", "direct", "ceiling", one, requests=4500) for one in range(5)]
    html, markdown = written(made(tmp_path / "run", lines))
    assert "| granian asgi | ≥ 26 700 (generator saturated) |" in markdown
    assert (
        "Direct: beyond the generator are granian asgi ≥ 26\u202f700/s; of the others, the most is 3\u202f000/s" in html
    )
    assert 'class="dot asgi least"' in html
    ceilings = markdown.partition("#### How many requests")[2]
    assert ceilings.index("| granian asgi") < ceilings.index("| daphne asgi")  # first, though no median is known
    assert "| granian asgi | 100 (100–100) * a |" in markdown  # the CPU time of a request counts all the same


def test_other_gates_give_no_figure_at_all_and_the_row_stays(tmp_path: Path) -> None:
    gate = {"gate": "restarted", "why": "the container was started again"}
    lines = [
        window("granian", "asgi", "direct", mode, one, gates=[gate, SATURATED])
        for mode in ("rate", "ceiling")
        for one in range(5)
    ]
    html, markdown = written(made(tmp_path / "run", lines))
    assert markdown.count("| granian asgi | gated: restarted, generator |") == 5
    assert "restarted: the container was started again" in markdown and "no window counts" in html
    assert not re.search(r"\| 0(\.0+)? ", markdown)


def test_a_cell_that_is_not_measured_stays_with_its_reason(tmp_path: Path) -> None:
    lines = [window("granian", "asgi", "direct", "rate", one) for one in range(5)]
    cell = {name: lines[0][name] for name in Cell._fields}
    lines.append({**cell, "server": "daphne", "unmeasured": "fails the contract: HEAD | <GET>"})
    html, markdown = written(made(tmp_path / "run", lines))
    assert "| daphne asgi | not measured |" in markdown and "fails the contract: HEAD \\| <GET> |" in markdown
    assert "fails the contract: HEAD | &lt;GET&gt;" in html and "a &lt;CPU&gt;" in html


def test_equal_rows_tie_in_the_answer_and_share_a_letter(tmp_path: Path) -> None:
    source = random.Random(3)  # noqa: S311
    lines = []
    for (server, twin), cost in {
        ("granian", ""): 1.0,
        ("granian", "A/A"): 1.0,
        ("uvicorn", ""): 1.01,
        ("daphne", ""): 2.0,
    }.items():
        for one in range(5):
            used = {"app": 450e-4 * cost * source.lognormvariate(0, 0.05), "proxy": 0.0, "generator": 0.03}
            lines.append(window(server, "asgi", "direct", "ceiling", one, cpu=used, twin=twin))
    _, markdown = written(made(tmp_path / "run", lines))
    rows = dict(re.findall(r"\| (\w+) asgi \| \S+ \(\S+\)(.*?) \|", markdown.partition("#### How many")[0]))
    assert rows["granian"] == rows["uvicorn"] == " a" and rows["daphne"] == ""
    assert re.search(
        r"the least is \S+ µs, (granian|uvicorn) asgi \(tied with it: (granian|uvicorn) asgi\); the most", markdown
    )


def test_an_interrupted_run_with_one_window_is_reported_as_such(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [window("granian", "asgi", "nginx", "rate", 0)], interrupted=True, windows=255)
    html, markdown = written(run)
    for text in (html, markdown):
        assert "Interrupted: 1 of 255 windows were measured" in text
    assert "150 (one round)" in markdown and "100 + 50.0" in markdown and "At most 1 round a cell" in markdown


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    html, markdown = written(made(tmp_path / "run", default(1, 0.03)))
    assert not re.search(r"<script|<link|<img|\bsrc=|\bhref=.[^#]|@import|url\(|https?:", html)
    assert "prefers-color-scheme: dark" in html and html.count("<svg") == 10  # three times three panels, and memory's
    assert "by itself 10" in html and "A/A" in markdown
    for heading in ("What does a request cost?", "Gates", "Noise floor", "Parity", "Method"):
        assert re.search(rf"^## {re.escape(heading)}", markdown, re.MULTILINE)
        assert re.search(rf"<h2[^>]*>{re.escape(heading)}", html)
    for question in (*(one.question.format(rate="300") for one in page.MEASURES), "What do app and NGINX cost"):
        assert f"#### {question}" in markdown and f"<h4>{question}" in html


def test_labels_do_not_overlap() -> None:
    for low, high in ((10, 1300), (900, 29000), (0.4, 12), (26, 53), (99, 101), (1, 1e6), (0.97, 1.13)):
        axis = plots.Axis(low, high)
        places = [(axis.at(tick) * plots.PLOT, len(f"{tick:,g}") * plots.CHARACTER) for tick in axis.ticks()]
        assert len(places) >= 2, (low, high)
        assert all(two[0] - one[0] > (one[1] + two[1]) / 2 for one, two in itertools.pairwise(places)), (low, high)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0351, "0.035"),
        (1.234, "1.23"),
        (9.99, "9.99"),
        (34.56, "34.6"),
        (123.4, "123"),
        (26345.0, "26\u202f300"),
        (0, "0"),
    ],
)
def test_a_figure_has_three_digits(value: float, text: str) -> None:
    assert plots.number(value) == text


def test_percentiles_of_all_rounds_are_those_of_all_answers() -> None:
    record = records.Record(Cell("hello", "granian"))
    for number, times in enumerate(({"1": 500, "2": 480, "9": 20}, {"1": 500, "3": 499, "70": 1}, {"5": 1000})):
        gates = [{"gate": "errors", "why": "one"}] if number == 2 else []
        record.windows.append({"round": number, "times": times, "gates": gates})
    assert record.pooled(0.0, 0.4, 0.5, 0.95, 0.99, 0.999, 1.0) == [1, 1, 2, 3, 9, 9, 70]
    assert records.Record(record.cell).pooled(0.5) == []
