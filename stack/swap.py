"""Replaces the app's containers without a gap (docs/decisions/0003-swap-by-overlap.md).

The new containers start beside the old ones. When they answer and the proxies know their addresses, the old ones are
stopped, and finish the requests that they have.
"""

import subprocess
import time
from collections.abc import Iterable

from stack.compose import Compose
from stack.readiness import wait_for_containers

DNS_SECONDS = 2.5  # the proxies ask for the app's addresses every 2 s


def swap_app(compose: Compose) -> None:
    """Replaces the app's containers by as many new ones of the present settings; `Problem` and no change on failure."""
    old = compose.containers("app")
    if compose.is_current("app", old):
        wait_for_containers(compose, old)
        return
    remove_containers(set(compose.containers("app", include_stopped=True)) - set(old))
    scale = f"app={2 * len(old)}"
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, "app")
        wait_for_containers(compose, list_new(compose, old))
    except BaseException:
        remove_containers(list_new(compose, old))
        raise
    time.sleep(DNS_SECONDS)
    subprocess.run(["docker", "stop", *old], stdout=subprocess.DEVNULL, check=True)
    remove_containers(old)


def list_new(compose: Compose, old: list[str]) -> list[str]:
    """The app's containers that are not among the old ones."""
    return [container for container in compose.containers("app", include_stopped=True) if container not in old]


def remove_containers(containers: Iterable[str]) -> None:
    """Removes containers at once, running or not."""
    if found := list(containers):
        subprocess.run(["docker", "rm", "--force", *found], stdout=subprocess.DEVNULL, check=True)
