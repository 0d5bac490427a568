"""What the generator computes of its own figures: percentiles of answer times, and CPU time."""

import resource
from collections.abc import Iterable

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def compute_percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """The exact percentiles, the maximum and the mean, in milliseconds; empty where nothing was answered."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    latency = {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in PERCENTILES.items()}
    latency |= {"max": ordered[-1], "mean": sum(ordered) / len(ordered)}
    return {name: round(value * 1000, 3) for name, value in latency.items()}


def read_cpu_seconds(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds of this process so far, or (RUSAGE_CHILDREN) of the processes that it has waited for."""
    return sum(resource.getrusage(who)[:2])
