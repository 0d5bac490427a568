"""Replaces the app's containers without a gap (docs/decisions/0003-swap-by-overlap.md).

The new containers start beside the old ones. When the new ones answer and the proxies know their addresses, the old
ones stop. A container that stops finishes its requests first.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable

from stack.compose import Compose
from stack.readiness import wait_for_containers

# The proxies ask Docker's DNS for the app's addresses every 2 s. The DNS has an address once its container has started.
DNS_SECONDS = 2.3


def swap_app(compose: Compose, before_stop: Callable[[], object] = bool) -> None:
    """Replaces the app's containers by as many new ones of the present settings; `Problem` and no change on failure.

    `before_stop` is called when the new containers answer. If it raises an exception, the old ones stay.
    """
    running = compose.containers("app")
    remove_stopped(compose)
    old = [container for container in running if not compose.is_current("app", [container])]
    if not old:
        wait_for_containers(compose, running)
        return
    # Beside an interrupted swap's new containers: only the missing ones start.
    missing = count_replicas(compose, running) - (len(running) - len(old))
    scale = f"app={len(running) + max(0, missing)}"
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, "app")
        started = time.monotonic()
        wait_for_containers(compose, list_others(compose, old))
        before_stop()
    except BaseException:
        remove_containers(list_others(compose, old))
        raise
    time.sleep(max(0, started + DNS_SECONDS - time.monotonic()))
    subprocess.run(["docker", "stop", *old], stdout=subprocess.DEVNULL, check=True)
    remove_containers(old)


def count_replicas(compose: Compose, containers: Iterable[str]) -> int:
    """How many app containers there are to be: the running ones of one version.

    After a swap that was killed there are two versions, and their sum would be twice as many at each such swap.
    """
    return max(Counter(map(compose.read_version, containers)).values(), default=1)


def remove_stopped(compose: Compose) -> None:
    """Removes the app's containers that do not run, such as those that an interrupted swap has stopped."""
    remove_containers(list_others(compose, compose.containers("app")))


def list_others(compose: Compose, containers: list[str]) -> list[str]:
    """The app's containers, running or not, that are not in `containers`."""
    return [other for other in compose.containers("app", include_stopped=True) if other not in containers]


def remove_containers(containers: Iterable[str]) -> None:
    """Removes containers at once, running or not."""
    if ids := list(containers):
        subprocess.run(["docker", "rm", "--force", *ids], stdout=subprocess.DEVNULL, check=True)
