"""What this container may use: its CPU and memory limits, and the number of its processes and threads.

The engine sets the limits, and the kernel shows them in the files of the container's control group (version 1 or 2).
No server reads these files, so a server would count the cores of the machine. Standard library only.
"""

import os
from math import ceil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
WORKER_BYTES = 128 * 2**20  # for one worker with a framework. A larger application sets WORKERS itself
# One worker beside its THREADS: the default executor of asyncio (up to 32 threads), and a server's own threads.
WORKER_THREADS = 40
SERVER_THREADS = 16  # the main process, init, and the health check


def read_number(*files: str, root: Path = CGROUP, last: bool = False) -> int | None:
    """The first (or last) word of the first of these files that is there; None where that is no number: no limit."""
    for file in files:
        try:
            word = (root / file).read_text().split()[-1 if last else 0]
        except (OSError, IndexError):
            continue
        return int(word) if word.isdigit() else None
    return None


def count_cpus(root: Path = CGROUP) -> int:
    """The CPUs that the container may use, rounded up: its quota, at most the cores that it may run on."""
    cores = len(os.sched_getaffinity(0))
    quota = read_number("cpu.max", "cpu/cpu.cfs_quota_us", root=root)  # version 2: quota and period in one file
    period = read_number("cpu.max", "cpu/cpu.cfs_period_us", root=root, last=True)
    return min(cores, max(1, ceil(quota / period))) if quota and period else cores


def count_workers(root: Path = CGROUP) -> int:
    """The workers of `WORKERS=auto`: one for each CPU, at most one for each 128 MiB of the memory limit."""
    memory = read_number("memory.max", "memory/memory.limit_in_bytes", root=root)
    return max(1, min(count_cpus(root), (memory or 2**63) // WORKER_BYTES))


def read_pids_limit(root: Path = CGROUP) -> int | None:
    """How many processes and threads the container may have; None where there is no limit."""
    return read_number("pids.max", "pids/pids.max", root=root)


def estimate_pids(workers: int, threads: int) -> int:
    """The processes and threads that a server with `workers` of `threads` each can have at the same time."""
    return SERVER_THREADS + workers * (WORKER_THREADS + threads)
