"""What a container has cost so far, from the engine's own cumulative counters: the same on cgroup v1 and v2.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import docker
from docker.errors import NotFound

TIMEOUT = 10  # seconds


@cache
def client() -> docker.APIClient:
    """The only client of this process. It asks the API, because the command `docker` takes 40 ms of CPU time to ask.

    Engine and client agree on the version of the API, because engines 29.0 to 29.2 refuse versions below 1.44.
    """
    return docker.from_env(version="auto", timeout=TIMEOUT).api


def read_stats(*containers: str) -> list[dict[str, Any]]:
    """The engine's counters of each container, taken at once: `one_shot` leaves out a second sample.

    (!) Engine 20.10 takes its counters once a second and answers then, so the figures are fresh, but asking takes up to
    a second. The containers are asked at the same time, so their figures are of the same moment.
    """
    api = client()
    with ThreadPoolExecutor(len(containers)) as pool:
        return list(pool.map(lambda container: api.stats(container, stream=False, one_shot=True), containers))


def has_ended(container: str) -> bool:
    """Whether a container has ended, even if it runs again, or is gone."""
    try:
        details = client().inspect_container(container)
    except NotFound:
        return True
    return not details["State"]["Running"] or details["RestartCount"] > 0


def cpu_seconds(*containers: str) -> float:
    """CPU time that all processes of some containers have used since they started, in seconds."""
    return sum(stats["cpu_stats"]["cpu_usage"]["total_usage"] for stats in read_stats(*containers)) / 1e9


def run_in(container: str, *command: str) -> str:
    """What a command prints inside a container, both streams."""
    execution = client().exec_create(container, list(command))["Id"]
    return client().exec_start(execution).decode().strip()
