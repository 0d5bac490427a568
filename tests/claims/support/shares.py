"""How requests are shared among workers, and whether chance explains the shares. Standard library only."""

from collections import Counter
from collections.abc import Iterable
from math import erfc, exp, pi, sqrt

from tests.claims.support.http_client import Answer


def count_shares(answers: Iterable[Answer], workers: list[int]) -> list[int]:
    """How many requests each worker answered, the busiest first; processes that are no workers come last."""
    counts = Counter(answer.pid for answer in answers)
    return sorted((counts.pop(pid, 0) for pid in workers), reverse=True) + sorted(counts.values())


def chi_square(counts: list[int]) -> float:
    """Pearson's statistic of these counts against even counts."""
    even = sum(counts) / len(counts)
    return sum((count - even) ** 2 / even for count in counts)


def chance_of_4(statistic: float) -> float:
    """The probability that even chance makes four counts at least that uneven.

    This is the survival function of the chi-square distribution with 3 degrees of freedom.
    """
    return erfc(sqrt(statistic / 2)) + sqrt(2 * statistic / pi) * exp(-statistic / 2)
