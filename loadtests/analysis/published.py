"""What others published about these servers, checked against a run. Only ratios travel between machines.

A published ratio is contradicted where our interval leaves it out and the noise floor does not explain the difference.
That says something about the ratio under our conditions only, so the report prints both conditions.
"""

from typing import NamedTuple

from loadtests.analysis.intervals import Interval, find_noise_floor, pair_rounds
from loadtests.analysis.measures import THROUGHPUT
from loadtests.analysis.records import MeasuredCell, Run, compare_pairs
from loadtests.window import DIRECT, Cell

Server = tuple[str, str]  # its name and interface


class PublishedRatio(NamedTuple):
    """A published ratio of two servers' requests per second."""

    first: Server
    second: Server
    ratio: float
    source: str
    conditions: str
    is_minimum: bool = False  # "reaches": more is no contradiction


class Check(NamedTuple):
    """A published ratio beside ours. Ours is a lower bound where the generator was the limit, else an interval."""

    published: PublishedRatio
    ratio: Interval | None
    lower_bound: float | None
    verdict: str  # agrees, contradicts, open


GRANIAN = "Granian's benchmarks/vs.md of 2025-05-21 (2.3.1)"
GRANIAN_OLD = "Granian's benchmarks/vs.md of 2024-07-07 (1.5.0)"
TEN = "10 kB, one worker, the best of several numbers of connections, 16 cores, Python 3.12"
HOSTED = "GET, one worker, the best of several numbers of connections, 4 hosted cores, Python 3.11"
PUBLISHED = (
    PublishedRatio(
        *(("gunicorn", "asgi"), ("uvicorn", "asgi"), 0.95),
        *("said of gunicorn's ASGI worker; we know no page with the measurement", "not published"),
        is_minimum=True,
    ),
    PublishedRatio(("granian", "asgi"), ("uvicorn", "asgi"), 121065 / 39694, GRANIAN, TEN),
    PublishedRatio(("granian", "asgi"), ("uvicorn", "asgi"), 43263 / 37121, GRANIAN_OLD, HOSTED),
    PublishedRatio(("granian", "asgi"), ("hypercorn", "asgi"), 121065 / 6575, GRANIAN, TEN),
    PublishedRatio(("granian", "wsgi"), ("gunicorn", "wsgi"), 123487 / 6345, GRANIAN, TEN),
    PublishedRatio(("granian", "wsgi"), ("gunicorn", "wsgi"), 38024 / 3637, GRANIAN_OLD, HOSTED),
    PublishedRatio(("granian", "wsgi"), ("granian", "asgi"), 123487 / 121065, GRANIAN, TEN),
)


def check_published(run: Run) -> list[Check]:
    """The published ratios whose servers are in the run, each checked."""
    floor = find_noise_floor([ratio for _, ratio in compare_pairs(run, THROUGHPUT, "ceiling")])
    return [result for published in PUBLISHED if (result := check(published, run, floor))]


def check(published: PublishedRatio, run: Run, floor: float) -> Check | None:
    """Our ratio beside a published ratio, and whether it contradicts; None where the run has no such ratio."""
    first, second = (find_ceiling(run, server) for server in (published.first, published.second))
    if not (first and second and (divisor := second.find_median(THROUGHPUT))):
        return None
    if bound := first.find_lower_bound(THROUGHPUT):
        least = bound / divisor.middle
        return Check(published, None, least, judge_bound(published, least, floor))
    values = [measured.read_values(THROUGHPUT) for measured in (second, first)]
    if not all(values):
        return None
    ratio = pair_rounds(*values)
    return Check(published, ratio, None, judge_interval(published, ratio, floor))


def judge_bound(published: PublishedRatio, least: float, floor: float) -> str:
    """The verdict where our ratio is at least `least`."""
    if published.is_minimum and least >= published.ratio:
        return "agrees"
    return "contradicts" if least > published.ratio * floor else "open"


def judge_interval(published: PublishedRatio, ratio: Interval, floor: float) -> str:
    """The verdict where our ratio has an interval, widened by the noise floor."""
    low, high = ratio.low / floor, ratio.high * floor
    if published.is_minimum and low < published.ratio <= high:
        return "open"
    agrees = published.ratio <= high and (published.is_minimum or published.ratio >= low)
    return "agrees" if agrees else "contradicts"


def find_ceiling(run: Run, server: Server) -> MeasuredCell | None:
    """A server's own ceiling: hello, direct, one worker."""
    name, interface = server
    sought = Cell("hello", name, interface, "bare", DIRECT, mode="ceiling")
    return next((measured for cell, measured in run.cells.items() if cell._replace(threads=0) == sought), None)
