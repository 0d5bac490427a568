"""The measures: what is read off a window, with units. CPU time per request, requests per second, latency, memory."""

import math
from collections.abc import Callable
from typing import NamedTuple

from loadtests.analysis.validity import MOST_OTHERS_FOR_CONTAINER, TOLERATED_FOR_CONTAINER
from loadtests.window import NO_SERVER, Window


class Measure(NamedTuple):
    """A quantity of a window: its name, the unit of its values, and the function that reads its value.

    `tolerates` names the validity rules that a window may break and still count for this measure.
    """

    name: str
    unit: str
    read: Callable[[Window], float]
    more_is_better: bool = False
    tolerates: tuple[str, ...] = ()

    def counts(self, window: Window) -> bool:
        """Whether a window counts for this measure."""
        return window.rules <= {*self.tolerates} and window.others <= MOST_OTHERS_FOR_CONTAINER


def read_cpu(*parts: str) -> Callable[[Window], float]:
    """CPU time of some parts per request, in µs."""
    return lambda window: 1e6 * sum(window.cpu.get(part, 0.0) for part in parts) / window.requests


def read_steady_cpu(*parts: str) -> Callable[[Window], float]:
    """CPU time of some containers per request, in µs of the stack's cores at the speed of the run's fastest tenth."""
    return lambda window: read_cpu(*parts)(window) / window.slowness


def read_memory(moment: str, part: str) -> Callable[[Window], float]:
    """A container's memory in MiB, from a field of the window such as `memory_peak`."""
    return lambda window: getattr(window, moment)[part] / 2**20


def read_throughput(window: Window) -> float:
    """Requests per second."""
    return window.requests / window.seconds


def read_server_cpu(window: Window) -> float:
    """CPU time per request of the application, in µs; of a baseline the proxy's, which shows the machine's drift."""
    return (PROXY if window.cell.server == NO_SERVER else APP).read(window)


def container_cpu(name: str, read: Callable[[Window], float]) -> Measure:
    """A measure of CPU time per request."""
    return Measure(f"CPU per request, {name}", "µs", read, tolerates=TOLERATED_FOR_CONTAINER)


def container_memory(name: str, read: Callable[[Window], float]) -> Measure:
    """A measure of memory."""
    return Measure(f"memory of the {name}", "MiB", read, tolerates=TOLERATED_FOR_CONTAINER)


COST = container_cpu("app + proxy", read_steady_cpu("app", "proxy"))
APP = container_cpu("app", read_steady_cpu("app"))
PROXY = container_cpu("proxy", read_steady_cpu("proxy"))
SERVER = container_cpu("app, over all cells", read_server_cpu)
ENGINE = container_cpu("engine", read_cpu("engine"))  # Docker's own processes, which write the proxies' logs
GENERATOR = container_cpu("generator", read_cpu("generator"))
SENT = Measure(
    "requests per CPU second of the generator",
    "/s",
    lambda window: window.requests / window.cpu["generator"],
    more_is_better=True,
    tolerates=TOLERATED_FOR_CONTAINER,
)
THROUGHPUT = Measure("requests per second", "/s", read_throughput, more_is_better=True)
P50 = Measure("median latency", "ms", lambda window: window.latency["p50"])
P99 = Measure("99th percentile of latency", "ms", lambda window: window.latency["p99"])
DELIVERED = Measure(
    "delivered / offered", "", lambda window: read_throughput(window) / (window.offered or math.nan), True
)
WARM_MEMORY = container_memory("app after warm-up", read_memory("memory_warm", "app"))
PEAK_MEMORY = container_memory("app at most", read_memory("memory_peak", "app"))
PROXY_PEAK_MEMORY = container_memory("proxy at most", read_memory("memory_peak", "proxy"))
# The measures that a cell is judged by, with their modes. The headline is first: at the ceiling the CPU time repeats
# within 2 to 5 %. At the fixed rate the stack mostly waits, and the CPU time repeats within 15 to 30 % only.
JUDGED = (("ceiling", COST), ("ceiling", THROUGHPUT), ("rate", P50), ("rate", COST))
