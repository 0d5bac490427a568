"""What everything has cost so far, at one moment: containers, the engine, the cores, and the bench itself."""

import contextlib
import os
import resource
import time
from pathlib import Path

from loadtests.run import engine_counters
from loadtests.run.testbed import Testbed

# Columns of /proc/stat (man 5 proc): all but idle and waiting; and the time that the hypervisor took.
BUSY, STOLEN = (0, 1, 2, 5, 6, 7), (7,)
KERNEL = 2  # the process id of the parent of the kernel's own threads


class Counters:
    """One reading of all counters.

    `at` is a moment of `monotonic`. The rest are CPU seconds so far: `generator_cores` is how long any process kept the
    generators' cores busy. `stolen` is the time that the hypervisor took of all cores. `engine` and `processes` come
    from `read_process_seconds`. `bench` is the time of this process and of the machine-speed probes.
    """

    def __init__(self, containers: dict[str, str], testbed: Testbed) -> None:
        self.at = time.monotonic()
        self.generator_cores = read_core_seconds(testbed.generator_cores, BUSY)
        self.stolen = read_core_seconds([*testbed.stack_cores, *testbed.generator_cores], STOLEN)
        self.engine, self.processes = read_process_seconds()
        self.bench = read_own_seconds() + sum(probe.read().cpu for probe in testbed.probes)
        self.stats = dict(zip(containers, engine_counters.read_stats(*containers.values()), strict=True))

    def cpu(self, name: str) -> float:
        """CPU seconds of a container."""
        return self.stats[name]["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9

    def memory(self, name: str) -> int:
        """Bytes that a container uses, without the page cache that the kernel can take back."""
        memory = self.stats[name]["memory_stats"]
        details = memory.get("stats", {})
        return memory.get("usage", 0) - details.get("total_inactive_file", details.get("inactive_file", 0))

    def memory_peak(self, name: str) -> int:
        """The most bytes so far, page cache included. With cgroup v2 the engine has no peak: the present bytes."""
        return max(self.stats[name]["memory_stats"].get("max_usage", 0), self.memory(name))

    def throttled(self, name: str) -> int:
        """The number of periods in which the kernel held a container back."""
        return self.stats[name]["cpu_stats"].get("throttling_data", {}).get("throttled_periods", 0)


def read_core_seconds(cores: list[int], columns: tuple[int, ...]) -> float:
    """The seconds that cores have spent so far, added over some columns of /proc/stat."""
    ticks, names = 0, {f"cpu{core}" for core in cores}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name in names:
            ticks += sum(int(values[column]) for column in columns)
    return ticks / os.sysconf("SC_CLK_TCK")


def read_own_seconds() -> float:
    """CPU seconds of this process so far, and of the processes that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def read_process_seconds() -> tuple[float, float]:
    """CPU seconds so far of the engine, which keeps the logs, and of all processes but the engine's and the kernel's.

    Counted in ticks of 10 ms; 0 where the processes are out of sight. A process that ended counts for its parent. The
    kernel's own threads are left out, because most of their work is the network of the stack itself.
    """
    engine = rest = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, text = file.read_text().partition(" (")
            name, _, fields = text.rpartition(") ")
            parent, times = int(fields.split()[1]), list(map(int, fields.split()[11:15]))
            if name.startswith(("dockerd", "containerd")):
                engine += sum(times[:2])
            elif parent != KERNEL and int(number) != KERNEL and not name.startswith(("docker", "runc")):
                rest += sum(times)
    return engine / os.sysconf("SC_CLK_TCK"), rest / os.sysconf("SC_CLK_TCK")
