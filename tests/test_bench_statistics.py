"""What the bench computes from a few noisy rounds: medians, intervals, ties, drift. No container runs here."""

import itertools
import math
import random
import statistics
from collections import Counter

import pytest

from loadtests.analysis import intervals
from loadtests.analysis.intervals import Interval


@pytest.mark.parametrize("n", range(1, 7))
def test_the_bootstrap_of_a_median_is_what_all_resamples_give(n: int) -> None:
    values = [2.0**place for place in range(n)]
    every = Counter(statistics.median(resample) for resample in itertools.product(values, repeat=n))
    exact: Counter[float] = Counter()
    for value, count in intervals.bootstrap(values):
        exact[value] += count
    assert +exact == every


def test_the_interval_of_five_rounds_is_from_minimum_to_maximum() -> None:
    assert intervals.find_median([5, 1, 4, 2, 3]) == Interval(1, 3, 5, 5)


def test_the_interval_of_nine_rounds_leaves_an_outlier_out() -> None:
    # The sixth of nine draws or more is the smallest value in 0.14 % of resamples; with the second smallest, in 3.3 %.
    assert intervals.find_median([9, 8, 7, 6, 5, 4, 3, 2, 1000]) == Interval(3, 6, 9, 9)


def test_fewer_than_five_rounds_have_wider_intervals_than_their_range() -> None:
    low, middle, high, _ = intervals.find_median([1, math.e, math.e**2])
    assert (math.log(low), middle, math.log(high)) == pytest.approx((1 - 2 * 1.304, math.e, 1 + 2 * 1.304))
    assert intervals.find_median([7]) == Interval(0, 7, math.inf, 1)


@pytest.mark.parametrize(("n", "share"), [(2, 0.95), (3, 0.95), (4, 0.95), (5, 0.9375), (8, 0.93), (9, 0.961)])
def test_an_interval_holds_the_true_median_as_often_as_it_says(n: int, share: float) -> None:
    source = random.Random(n)  # noqa: S311
    medians = [intervals.find_median([source.lognormvariate(0, 0.03) for _ in range(n)]) for _ in range(4000)]
    assert statistics.fmean(median.low <= 1 <= median.high for median in medians) == pytest.approx(share, abs=0.012)


def test_rounds_are_compared_with_themselves() -> None:
    first = {0: 10.0, 1: 20.0, 2: 30.0, 3: 40.0, 4: 50.0, 5: 1.0}
    second = {0: 11.0, 1: 22.0, 2: 33.0, 3: 44.0, 4: 60.0}
    assert intervals.pair_rounds(first, second) == pytest.approx((1.1, 1.1, 1.2, 5))


def test_the_ratio_of_two_runs_has_the_errors_of_both() -> None:
    low, middle, high, _ = intervals.divide(
        Interval(math.exp(-4), 1, math.exp(4), 5), Interval(math.exp(-3), 1, math.exp(3), 5)
    )
    assert (math.log(low), middle, math.log(high)) == pytest.approx((-5, 1, 5))
    assert intervals.divide(Interval(2, 2, 2, 5), Interval(0, 1, math.inf, 1))[::2] == (0, math.inf)
    both = intervals.pool(
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
    assert intervals.judge(ratio, floor, more_is_better) == verdict


def test_the_noise_floor_is_how_far_a_cell_is_from_itself() -> None:
    assert intervals.find_noise_floor([Interval(0.95, 1.01, 1.04, 5)]) == pytest.approx(1 / 0.95)
    assert intervals.find_noise_floor([]) == 1


def test_intervals_are_widened_by_how_much_more_equal_cells_differ() -> None:
    def make_ratio(middle: float, half: float) -> Interval:
        return Interval(math.exp(middle - half), math.exp(middle), math.exp(middle + half), 8)

    logs = [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.9]  # the median distance to 0 is 0.02: 95 % are within 0.0581
    of_equal = 1.96 * 0.02 / 0.6745
    unbounded = Interval(0, 1.5, math.inf, 1)
    excess = intervals.measure_excess([make_ratio(middle, 0.0291) for middle in logs] + [unbounded])
    assert excess == pytest.approx(of_equal / 0.0291, rel=1e-3)
    assert intervals.measure_excess([make_ratio(middle, 0.1) for middle in logs]) == 1, "less than their intervals say"
    assert intervals.measure_excess([make_ratio(0.5, 0.01)] * 7) == 1, "seven are too few"
    low, middle, high, _ = intervals.widen(Interval(math.exp(0.08), math.exp(0.1), math.exp(0.14), 8), 2)
    assert [math.log(value) for value in (low, middle, high)] == pytest.approx([0.06, 0.1, 0.18])
    assert intervals.widen(unbounded, 2)[:3] == (0, 1.5, math.inf)


def test_rows_that_cannot_be_told_apart_share_a_letter_and_only_they() -> None:
    # 0 ties with 1 and 1 with 2, but 0 differs from 2; 3 ties with nobody.
    ties = {(0, 1), (1, 2)}
    assert intervals.assign_letters(4, lambda i, j: (i, j) in ties) == ["a", "ab", "b", ""]
    assert intervals.assign_letters(60, lambda i, j: True) == ["a"] * 60  # one round: all tie
    source = random.Random(0)  # noqa: S311
    for _ in range(20):
        tied = {pair for pair in itertools.combinations(range(9), 2) if source.random() < 0.5}
        letters = intervals.assign_letters(9, lambda *pair: pair in tied)  # noqa: B023 - called at once
        for i, j in itertools.combinations(range(9), 2):
            assert bool(set(letters[i]) & set(letters[j])) == ((i, j) in tied)


def test_what_moves_all_cells_alike_is_the_machine() -> None:
    a = {  # in the second round the machine is half as fast
        "first": {0: 10.0, 1: 20.0},
        "second": {0: 1.0, 1: 2.0},
        "third": {0: 5.0, 1: 10.0},
    }
    b = {  # every cell costs 2 times as much, the last one 4 times
        "first": {0: 30.0, 1: 30.0},
        "second": {0: 3.0, 1: 3.0},
        "third": {0: 30.0, 1: 30.0},
    }
    (first, second), drift = intervals.remove_drift(a, b, list(a))
    assert drift == pytest.approx(2)
    ratios = [statistics.median(second[cell].values()) / statistics.median(first[cell].values()) for cell in a]
    assert ratios == pytest.approx([1, 1, 2])
    assert len(set(first["first"].values())) == 1
