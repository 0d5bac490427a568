"""What a few noisy rounds allow one to say: medians, ratios, their 95 % intervals, ties. No random numbers.

Times, counts and ratios are multiplied by noise, so everything is compared on a logarithmic scale. Verdicts err on the
side of "tie": they need an interval that leaves 1 out and a difference beyond the noise floor.
"""

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
# Half the width of a 95 % interval for the mean of n normal values, in ranges of these values: Lord, "The use of range
# in place of standard deviation in the t-test", Biometrika 34 (1947). At n = 5 it is 0.507: about minimum to maximum.
LORD = {2: 6.353, 3: 1.304, 4: 0.717}
ENOUGH = 8  # cells from which all their ratios say more than an A/A pair of five rounds
EQUAL = 1.96  # standard deviations: 95 % of a normal distribution is within


class Interval(NamedTuple):
    """A median of `n` values, and its 95 % interval, in the values' unit."""

    low: float
    middle: float
    high: float
    n: int

    @property
    def reach(self) -> float:
        """How far from 1 a ratio's interval goes, as a ratio of at least 1."""
        return math.exp(max(abs(log(self.low)), abs(log(self.high))))


def log(value: float) -> float:
    """The natural logarithm, and minus infinity for 0."""
    return math.log(value) if value > 0 else -math.inf


def bootstrap(values: Sequence[float]) -> list[tuple[float, int]]:
    """The exact bootstrap distribution of the median: each possible one, ascending, with its count of n**n resamples.

    The m-th smallest of a resample is at most the k-th smallest value if at least m of n draws are: a binomial. For an
    even n the median is the mean of two draws, whose joint distribution follows in the same way. Efron, "Bootstrap
    methods: another look at the jackknife", Annals of Statistics 7 (1979), section 3; Maritz and Jarrett, "A note on
    estimating the variance of the sample median", JASA 73 (1978).
    """
    ordered, n = sorted(values), len(values)
    m = (n + 1) // 2

    def at_most(k: int) -> int:
        return sum(math.comb(n, j) * k**j * (n - k) ** (n - j) for j in range(m, n + 1))

    found = []
    for i in range(1, n + 1):
        rest = at_most(i) - at_most(i - 1)
        for j in range(i + 1, n + 1) if n % 2 == 0 else ():
            apart = math.comb(n, m) * (i**m - (i - 1) ** m) * ((n - j + 1) ** m - (n - j) ** m)
            found.append(((ordered[i - 1] + ordered[j - 1]) / 2, apart))
            rest -= apart
        found.append((ordered[i - 1], rest))
    return sorted(found)


def median(values: Sequence[float]) -> Interval:
    """The median of at least one positive value, with its 95 % interval.

    From five values on it is the percentile interval of the exact bootstrap (five: minimum to maximum). Fewer values
    bound nothing by their ranks alone (three: 75 %), so there the interval is Lord's, for normal logarithms; one value
    has none: from 0 to infinity.
    """
    n, middle = len(values), statistics.median(values)
    if n == 1:
        return Interval(0, middle, math.inf, n)
    if n < 5 and min(values) > 0:
        logs = [math.log(value) for value in values]
        mean, half = statistics.fmean(logs), LORD[n] * (max(logs) - min(logs))
        return Interval(math.exp(mean - half), middle, math.exp(mean + half), n)
    found = bootstrap(values)
    return Interval(percentile(found), middle, percentile(found[::-1]), n)


def percentile(found: Sequence[tuple[float, int]]) -> float:
    """The first value at which 2.5 % of a distribution are reached."""
    total, seen = sum(count for _, count in found), 0
    for value, count in found:
        seen += count
        if 40 * seen >= total:
            return value
    raise ValueError("an empty distribution")


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """The ratio b / a of two cells of one run: the median over the rounds that both have.

    Rounds are interleaved, hence blocks: what the machine does in a round, it does to both. Without two rounds in
    common the cells are compared as those of two runs.
    """
    common = a.keys() & b.keys()
    if len(common) < 2:
        return unpaired(median(list(a.values())), median(list(b.values())))
    return median([b[key] / a[key] for key in sorted(common)])


def unpaired(a: Interval, b: Interval) -> Interval:
    """The ratio b / a of two independent medians, from their intervals.

    The distances from median to limit are combined as the root of the sum of their squares, on a logarithmic scale: Zou
    and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27 (2008).
    """
    ratio = log(b.middle) - log(a.middle)
    down = math.hypot(log(b.middle) - log(b.low), log(a.high) - log(a.middle))
    up = math.hypot(log(b.high) - log(b.middle), log(a.middle) - log(a.low))
    return Interval(math.exp(ratio - down), math.exp(ratio), math.exp(ratio + up), min(a.n, b.n))


def together(ratios: Sequence[Interval]) -> Interval:
    """One ratio from several independent ones: their geometric mean, its interval by the same rule."""
    ratio = statistics.fmean(log(one.middle) for one in ratios)
    down = math.hypot(*(log(one.middle) - log(one.low) for one in ratios)) / len(ratios)
    up = math.hypot(*(log(one.high) - log(one.middle) for one in ratios)) / len(ratios)
    return Interval(math.exp(ratio - down), math.exp(ratio), math.exp(ratio + up), min(one.n for one in ratios))


def verdict(ratio: Interval, floor: float, more_is_better: bool = False) -> str:
    """`faster`, `slower` or `tie`, from the ratio of a figure to what it is compared with, and the noise floor.

    Both are ratios. It is a tie whenever the interval touches 1, or the ratio is no farther from 1 than the floor.
    """
    if ratio.low <= 1 <= ratio.high or abs(log(ratio.middle)) <= math.log(floor):
        return "tie"
    return "faster" if (ratio.middle > 1) == more_is_better else "slower"


def noise_floor(pairs: Sequence[Interval]) -> float:
    """The ratio inside which nothing is a difference: how far the ratio of a cell to itself reaches from 1.

    Each of `pairs` is the ratio of an A/A pair; of several the median counts. Without any it is 1: the intervals alone
    then decide.
    """
    return statistics.median(pair.reach for pair in pairs) if pairs else 1.0


def excess(ratios: Sequence[Interval]) -> float:
    """How many times as far from 1 the ratios of equal cells go as their intervals say: at least 1.

    Most cells of two runs are the same thing measured twice: more A/A pairs than a run can afford, and they hold what
    intervals within a run cannot see, such as another start of the same container. The median distance to 1, in
    intervals, is hardly moved by those that did change (less than half): the empirical null distribution of Efron,
    "Large-scale simultaneous hypothesis testing", JASA 99 (2004). Ratios without an interval tell nothing.
    """
    known = [one for one in ratios if one.low > 0 and one.high < math.inf]
    if len(known) < ENOUGH:
        return 1.0
    away = [abs(log(one.middle)) / max(log(one.high) - log(one.low), 1e-9) * 2 for one in known]
    return max(1.0, statistics.median(away) / (statistics.NormalDist().inv_cdf(0.75) / EQUAL))


def widened(ratio: Interval, times: float) -> Interval:
    """A ratio whose interval is so many times as wide."""
    down, up = (times * (log(one) - log(ratio.middle)) for one in (ratio.low, ratio.high))
    return Interval(math.exp(log(ratio.middle) + down), ratio.middle, math.exp(log(ratio.middle) + up), ratio.n)


Values = Mapping[Key, Mapping[int, float]]


def level(a: Values[Key], b: Values[Key], reference: Sequence[Key]) -> tuple[list[dict[Key, dict[int, float]]], float]:
    """Two runs (the values of each cell by round) without the machine's drift, and the drift from a to b, a ratio.

    What moves every cell alike is the machine, not a server: each value is divided by the median, over the reference
    cells of its round, of their values relative to what is typical for the cell. That takes out the drift between the
    runs and between the rounds of each. The median of all cells is the reference, not the baselines alone: a run has a
    few baselines, each as noisy as any cell, and some fifty cells, of which less than half may change unnoticed. Where
    all have changed, such as by another Python, only the drift shows it: it is printed, with that of the baselines.
    """
    typical = {
        cell: math.sqrt(statistics.median(a[cell].values()) * statistics.median(b[cell].values())) for cell in reference
    }
    levelled, middles = [], []
    for run in (a, b):
        rounds = sorted({key for cell in run.values() for key in cell})
        seen = {key: [run[cell][key] / typical[cell] for cell in reference if key in run[cell]] for key in rounds}
        factors = {key: statistics.median(values) for key, values in seen.items() if values}
        middles.append(statistics.median(factors.values()) if factors else 1.0)
        levelled.append(
            {
                cell: {key: value / factors.get(key, middles[-1]) for key, value in values.items()}
                for cell, values in run.items()
            }
        )
    return levelled, middles[1] / middles[0]


def groups(number: int, tied: Callable[[int, int], bool]) -> list[list[int]]:
    """The largest sets of at least two of the items 0 … number - 1 in which all are tied to all.

    Being tied does not pass on (a = b and b = c, yet a < c), so an item may be in several. Piepho, "An algorithm for a
    letter-based representation of all-pairwise comparisons", J. Comput. Graph. Stat. 13 (2004); found as the maximal
    cliques of a graph: Bron and Kerbosch, Communications of the ACM 16 (1973).
    """
    near = {i: {j for j in range(number) if j != i and tied(min(i, j), max(i, j))} for i in range(number)}
    found: list[list[int]] = []

    def extend(inside: set[int], candidates: set[int], done: set[int]) -> None:
        if not candidates and not done and len(inside) > 1:
            found.append(sorted(inside))
        pivot = max(candidates | done, key=lambda item: len(near[item] & candidates), default=None)
        for item in sorted(candidates - near[pivot]) if pivot is not None else ():  # each group has one of these
            extend(inside | {item}, candidates & near[item], done & near[item])
            candidates, done = candidates - {item}, done | {item}

    extend(set(), set(range(number)), set())
    return sorted(found)


def letters(number: int, tied: Callable[[int, int], bool]) -> list[str]:
    """For each item, the letters of its groups: two items that share one cannot be told apart; a lone item has none."""
    names = ["" for _ in range(number)]
    for place, members in enumerate(groups(number, tied)):
        for item in members:
            names[item] += chr(ord("a") + place % 26) + (str(place // 26) if place >= 26 else "")
    return names
