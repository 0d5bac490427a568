"""Replaces the app's containers without a gap (docs/decisions/0003-swap-by-overlap.md).

The new containers start beside the old ones. When the new ones answer and the proxies know their addresses, the old
ones stop. A container that stops finishes its requests first.
"""

import subprocess
import time
from collections.abc import Callable, Iterable

from stack import Problem
from stack.compose import Compose
from stack.readiness import wait_for_containers

# The proxies ask Docker's DNS for the app's addresses every 2 s. The DNS has an address once its container has started.
DNS_SECONDS = 2.3


def swap_app(compose: Compose, before_stop: Callable[[], object] = bool) -> None:
    """Replaces the app's containers by as many new ones of the present settings; `Problem` and no change on failure.

    `before_stop` is called when the new containers answer. If it raises an exception, the old ones stay.
    """
    old = compose.containers("app")
    if compose.is_current("app", old):
        wait_for_containers(compose, old)
        return
    remove_containers(list_others(compose, old))  # stopped ones
    scale = f"app={2 * len(old)}"
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, "app")
        started = time.monotonic()
        wait_for_containers(compose, list_others(compose, old))
        before_stop()
    except BaseException as error:
        remove_containers(list_others(compose, old))
        if isinstance(error, Problem):
            raise Problem(f"{error}; the old app goes on") from None
        raise
    time.sleep(max(0, started + DNS_SECONDS - time.monotonic()))
    subprocess.run(["docker", "stop", *old], stdout=subprocess.DEVNULL, check=True)
    remove_containers(old)


def list_others(compose: Compose, containers: list[str]) -> list[str]:
    """The app's containers, running or not, that are not in `containers`."""
    return [other for other in compose.containers("app", include_stopped=True) if other not in containers]


def remove_containers(containers: Iterable[str]) -> None:
    """Removes containers at once, running or not."""
    if ids := list(containers):
        subprocess.run(["docker", "rm", "--force", *ids], stdout=subprocess.DEVNULL, check=True)
