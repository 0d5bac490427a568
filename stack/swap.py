"""Replaces the app's containers without a gap (docs/decisions/0003-swap-by-overlap.md).

The new containers start beside the old ones. When the new ones answer and the proxies know their addresses, the old
ones stop. A container that stops finishes its requests first.
"""

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from stack import ROOT, Problem
from stack.compose import Compose
from stack.readiness import wait_for_containers

# The DNS has an address once its container has started. The proxies ask it every 2 s, and NGINX, which counts whole
# seconds, every 3 s at most. (!) With less time here, NGINX knows only the old address when the old app stops: 502.
# Checked by: test_the_server_is_swapped_under_load
DNS_SECONDS = 3.5


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
    note = note_of(compose)
    replicas = read_replicas(note, running)
    note.parent.mkdir(exist_ok=True)
    note.write_text("\n".join(replicas))
    missing = max(0, len(replicas) - (len(running) - len(old)))  # a killed swap has started some of the new ones
    scale = f"app={len(running) + missing}"
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, "app")
        started = time.monotonic()
        wait_for_containers(compose, list_others(compose, old))
        before_stop()
    except BaseException as error:
        remove_containers(list_others(compose, old))
        note.unlink(missing_ok=True)
        if isinstance(error, Problem):
            raise Problem(f"{error}; the old app goes on") from None
        raise
    time.sleep(max(0, started + DNS_SECONDS - time.monotonic()))
    subprocess.run(["docker", "stop", *old], stdout=subprocess.DEVNULL, check=True)
    remove_containers(old)
    note.unlink(missing_ok=True)


def note_of(compose: Compose) -> Path:
    """The file that names the containers which a swap replaces. It stays where the swap is killed."""
    return ROOT / f".cache/swap-{compose.project}"


def read_replicas(note: Path, running: list[str]) -> list[str]:
    """The containers that say how many there are to be: the running ones; after a killed swap, those that it replaces.

    Without the note of the killed swap, both halves would count, and each such swap would double their number.
    """
    noted = note.read_text().split() if note.is_file() else []
    return noted if set(noted) & set(running) else running


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
