"""What a few noisy rounds allow one to say: medians, ratios, their 95 % intervals, ties. No random numbers.

Noise multiplies times, counts and ratios, so everything is compared on a logarithmic scale. Verdicts err on the side of
"tie": a verdict needs an interval without 1, and a difference beyond the noise floor.
"""

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Values = Mapping[Key, Mapping[int, float]]  # the values of each cell by round
# Half the width of a 95 % interval for the mean of n normal values, in ranges of these values: Lord, "The use of range
# in place of standard deviation in the t-test", Biometrika 34 (1947). At n = 5 it is 0.507: about minimum to maximum.
LORD = {2: 6.353, 3: 1.304, 4: 0.717}
ENOUGH = 8  # cells: from this number on, their ratios show the noise better than an A/A pair of five rounds
NORMAL_95 = 1.96  # standard deviations: 95 % of a normal distribution is within


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
    """The exact bootstrap distribution of the median: each possible median, ascending, with its count of the resamples.

    There are n**n resamples. The m-th smallest value of a resample is at most the k-th smallest value if at least m of
    n draws are: a binomial. For an even n the median is the mean of two draws, whose joint distribution follows in the
    same way. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), section 3;
    Maritz and Jarrett, "A note on estimating the variance of the sample median", JASA 73 (1978).
    """
    ordered, n = sorted(values), len(values)
    m = (n + 1) // 2

    def count_at_most(k: int) -> int:
        return sum(math.comb(n, j) * k**j * (n - k) ** (n - j) for j in range(m, n + 1))

    distribution = []
    for i in range(1, n + 1):
        rest = count_at_most(i) - count_at_most(i - 1)
        for j in range(i + 1, n + 1) if n % 2 == 0 else ():
            count = math.comb(n, m) * (i**m - (i - 1) ** m) * ((n - j + 1) ** m - (n - j) ** m)
            distribution.append(((ordered[i - 1] + ordered[j - 1]) / 2, count))
            rest -= count
        distribution.append((ordered[i - 1], rest))
    return sorted(distribution)


def find_median(values: Sequence[float]) -> Interval:
    """The median of at least one positive value, with its 95 % interval.

    From five values on, the interval is the percentile interval of the exact bootstrap: of five values from the
    smallest to the largest. The ranks of fewer values bound too little (of three values 75 %), so there the interval is
    Lord's, for normal logarithms. One value has no interval: from 0 to infinity.
    """
    n, middle = len(values), statistics.median(values)
    if n == 1:
        return Interval(0, middle, math.inf, n)
    if n < 5 and min(values) > 0:
        logs = [math.log(value) for value in values]
        mean, half = statistics.fmean(logs), LORD[n] * (max(logs) - min(logs))
        return Interval(math.exp(mean - half), middle, math.exp(mean + half), n)
    distribution = bootstrap(values)
    return Interval(find_limit(distribution), middle, find_limit(distribution[::-1]), n)


def find_limit(distribution: Sequence[tuple[float, int]]) -> float:
    """The first value at which 2.5 % of a distribution are reached."""
    total, reached = sum(count for _, count in distribution), 0
    for value, count in distribution:
        reached += count
        if 40 * reached >= total:
            return value
    raise ValueError("an empty distribution")


def pair_rounds(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """The ratio b / a of two cells of one run: the median over the rounds that both have.

    A round is a block: what the machine does in a round, it does to both cells. Without two rounds in common the cells
    are compared as if they were of two runs.
    """
    common = a.keys() & b.keys()
    if len(common) < 2:
        return divide(find_median(list(b.values())), find_median(list(a.values())))
    return find_median([b[number] / a[number] for number in sorted(common)])


def divide(b: Interval, a: Interval) -> Interval:
    """The ratio b / a of two independent medians, from their intervals.

    The distances from median to limit are combined as the root of the sum of their squares, on a logarithmic scale: Zou
    and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27 (2008).
    """
    ratio = log(b.middle) - log(a.middle)
    down = math.hypot(log(b.middle) - log(b.low), log(a.high) - log(a.middle))
    up = math.hypot(log(b.high) - log(b.middle), log(a.middle) - log(a.low))
    return Interval(math.exp(ratio - down), math.exp(ratio), math.exp(ratio + up), min(a.n, b.n))


def pool(ratios: Sequence[Interval]) -> Interval:
    """One ratio from several independent ratios: their geometric mean, with its interval by the rule of `divide`."""
    middle = statistics.fmean(log(ratio.middle) for ratio in ratios)
    down = math.hypot(*(log(ratio.middle) - log(ratio.low) for ratio in ratios)) / len(ratios)
    up = math.hypot(*(log(ratio.high) - log(ratio.middle) for ratio in ratios)) / len(ratios)
    n = min(ratio.n for ratio in ratios)
    return Interval(math.exp(middle - down), math.exp(middle), math.exp(middle + up), n)


def judge(ratio: Interval, floor: float, more_is_better: bool = False) -> str:
    """`faster`, `slower` or `tie`, from the ratio of two figures and the noise floor, which is a ratio too.

    It is a tie if the interval holds 1, or if the ratio is no farther from 1 than the floor.
    """
    if ratio.low <= 1 <= ratio.high or abs(log(ratio.middle)) <= math.log(floor):
        return "tie"
    return "faster" if (ratio.middle > 1) == more_is_better else "slower"


def find_noise_floor(pairs: Sequence[Interval]) -> float:
    """The ratio inside which nothing is a difference: how far the ratio of a cell to itself reaches from 1.

    Each of `pairs` is the ratio of an A/A pair; of several the median counts. Without any pair the floor is 1, and
    only the intervals decide.
    """
    return statistics.median(pair.reach for pair in pairs) if pairs else 1.0


def measure_excess(ratios: Sequence[Interval]) -> float:
    """Ratio of the observed spread between two runs to the spread that the intervals predict (≥ 1).

    Most cells of two runs are the same thing measured twice. They are more A/A pairs than a run can afford, and they
    show what intervals within a run cannot: another start of the same container. The spread is the median distance
    to 1, in intervals. Cells that did change hardly move it while they are less than half: the empirical null
    distribution of Efron, "Large-scale simultaneous hypothesis testing", JASA 99 (2004). Ratios without an interval say
    nothing.
    """
    bounded = [ratio for ratio in ratios if ratio.low > 0 and ratio.high < math.inf]
    if len(bounded) < ENOUGH:
        return 1.0
    distances = [abs(log(ratio.middle)) / max(log(ratio.high) - log(ratio.low), 1e-9) * 2 for ratio in bounded]
    return max(1.0, statistics.median(distances) / (statistics.NormalDist().inv_cdf(0.75) / NORMAL_95))


def widen(ratio: Interval, times: float) -> Interval:
    """A ratio whose interval is `times` as wide."""
    down, up = (times * (log(limit) - log(ratio.middle)) for limit in (ratio.low, ratio.high))
    return Interval(math.exp(log(ratio.middle) + down), ratio.middle, math.exp(log(ratio.middle) + up), ratio.n)


def remove_drift(
    a: Values[Key], b: Values[Key], reference: Sequence[Key]
) -> tuple[list[dict[Key, dict[int, float]]], float]:
    """Two runs without the machine's drift, and the drift from a to b as a ratio.

    What moves every cell alike is the machine, not a server. Each value is divided by the median, over the reference
    cells of its round, of their values relative to what is typical for the cell. That removes the drift between the
    runs and between the rounds of each.

    The reference is all cells, and not only the baselines. A run has a few baselines, each as noisy as any cell, and
    some fifty cells, of which less than half may change unnoticed. Where all cells have changed, as by another Python,
    only the drift shows the change: it is printed, with the drift of the baselines.
    """
    typical = {
        cell: math.sqrt(statistics.median(a[cell].values()) * statistics.median(b[cell].values())) for cell in reference
    }
    levelled, middles = [], []
    for run in (a, b):
        rounds = sorted({number for cell in run.values() for number in cell})
        relative = {
            number: [run[cell][number] / typical[cell] for cell in reference if number in run[cell]]
            for number in rounds
        }
        factors = {number: statistics.median(values) for number, values in relative.items() if values}
        middle = statistics.median(factors.values()) if factors else 1.0
        levelled.append(
            {
                cell: {number: value / factors.get(number, middle) for number, value in values.items()}
                for cell, values in run.items()
            }
        )
        middles.append(middle)
    return levelled, middles[1] / middles[0]


def group_ties(number: int, tied: Callable[[int, int], bool]) -> list[list[int]]:
    """The largest sets of at least two of the items 0 … number - 1 in which all items tie with each other.

    A tie does not pass on (a = b and b = c, yet a < c), so an item may be in several sets. Piepho, "An algorithm for a
    letter-based representation of all-pairwise comparisons", J. Comput. Graph. Stat. 13 (2004). The sets are the
    maximal cliques of a graph: Bron and Kerbosch, Communications of the ACM 16 (1973).
    """
    near = {i: {j for j in range(number) if j != i and tied(min(i, j), max(i, j))} for i in range(number)}
    groups: list[list[int]] = []

    def extend(inside: set[int], candidates: set[int], done: set[int]) -> None:
        if not candidates and not done and len(inside) > 1:
            groups.append(sorted(inside))
        pivot = max(candidates | done, key=lambda item: len(near[item] & candidates), default=None)
        for item in sorted(candidates - near[pivot]) if pivot is not None else ():  # each group has one of these
            extend(inside | {item}, candidates & near[item], done & near[item])
            candidates, done = candidates - {item}, done | {item}

    extend(set(), set(range(number)), set())
    return sorted(groups)


def assign_letters(number: int, tied: Callable[[int, int], bool]) -> list[str]:
    """For each item, the letters of its groups: two items that tie share a letter. An item without a tie has none."""
    letters = ["" for _ in range(number)]
    for place, members in enumerate(group_ties(number, tied)):
        for item in members:
            letters[item] += chr(ord("a") + place % 26) + (str(place // 26) if place >= 26 else "")
    return letters
