"""Replaces the app's containers without a gap (docs/decisions/0016-a-new-container-is-hidden-until-it-is-ready.md).

The new containers start beside the old ones, and the proxies' name for the app does not lead to them: they are hidden.
When all of them answer, they get the name. When the proxies know it, the old ones stop, one after the other. A
container that stops finishes its requests first.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from stack import ROOT, Problem, engine
from stack.command_line import finish_first
from stack.compose import Compose
from stack.readiness import wait_for_containers

NETWORK = "backend"  # of the proxies and the app
# The proxies ask the DNS every second or every two, and NGINX, which counts whole seconds, every 2 s at most. (!) With
# less time here, NGINX knows only the old address when the old app stops, or addresses of several that are gone: 502.
# Checked by: test_the_server_is_swapped_under_load, test_three_containers_are_swapped_under_load
DNS_SECONDS = 2.5


def swap_app(compose: Compose, meanwhile: Callable[[], object] = bool) -> None:
    """Replaces the app's containers by as many new ones of the present settings; `Problem` and no change on failure.

    From the moment when the new containers have the name, an interruption waits until the old ones are gone.
    `meanwhile` is called in that moment; an exception of it does so too.
    """
    remove_unfinished(compose)
    running = compose.containers("app")
    old = [container for container in running if not compose.is_current("app", [container])]
    note = note_of(compose)
    replicas = read_replicas(note, running)
    if old:
        note.parent.mkdir(exist_ok=True)
        note.write_text("\n".join(replicas))
    missing = max(0, len(replicas) - (len(running) - len(old)))  # a killed swap has published some of the new ones
    with ExitStack() as end:
        try:
            aliases = start_hidden(compose, missing) if missing else {}
            wait_for_containers(compose, list_others(compose, old))
            end.enter_context(
                finish_first("the new app gets the requests; the command ends when the old one has ended")
            )
            for container, names in aliases.items():
                connect_anew(compose, container, names)
        except BaseException as error:
            if old:
                remove_containers(list_others(compose, old))
                note.unlink(missing_ok=True)
            if old and isinstance(error, Problem):
                raise Problem(f"{error}; the old app goes on") from None
            raise
        known_at = time.monotonic() + DNS_SECONDS
        try:
            meanwhile()
        finally:
            for container in old:
                time.sleep(max(0, known_at - time.monotonic()))
                run_docker("stop", container)
                remove_containers([container])
                known_at = time.monotonic() + DNS_SECONDS
            note.unlink(missing_ok=True)


def start_hidden(compose: Compose, number: int) -> dict[str, list[str]]:
    """Starts more containers of the app, without their names in the network; returns the names to give back, by id.

    The containers stay in the network, because an app trusts the networks that it sees when it starts.
    """
    before = compose.containers("app")
    options = ("--no-start", "--no-build", "--no-deps", "--no-recreate", "--scale", f"app={len(before) + number}")
    compose.run("up", *options, "app")
    aliases = {container: read_aliases(compose, container) for container in list_others(compose, before)}
    for container in aliases:
        connect_anew(compose, container, [])
    run_docker("start", *aliases)
    return aliases


def connect_anew(compose: Compose, container: str, aliases: Iterable[str]) -> None:
    """Connects a container to the network again, because the engine cannot change the names of a connection."""
    network = compose.network(NETWORK)
    run_docker("network", "disconnect", network, container)
    run_docker("network", "connect", *(f"--alias={alias}" for alias in aliases), network, container)


def read_aliases(compose: Compose, container: str) -> list[str]:
    """The names of a container in the network of the proxies, beside its own."""
    networks = json.loads(compose.inspect(container, "{{json .NetworkSettings.Networks}}") or "{}")
    return networks.get(compose.network(NETWORK), {}).get("Aliases") or []


def run_docker(*words: str) -> None:
    """Runs a docker command in a session of its own, which Ctrl-C does not reach; `Problem` where it fails."""
    done = engine.run("docker", *words, start_new_session=True)
    if done.returncode != 0:
        raise Problem(f"docker {words[0]} failed: {' '.join(done.stderr.split())}")


def note_of(compose: Compose) -> Path:
    """The file that names the containers which a swap replaces. It stays where the swap is killed."""
    return ROOT / f".cache/swap-{compose.project}"


def read_replicas(note: Path, running: list[str]) -> list[str]:
    """The containers that say how many there are to be: the running ones; after a killed swap, those that it replaces.

    Without the note of the killed swap, both halves would count, and each such swap would double their number.
    """
    noted = note.read_text().split() if note.is_file() else []
    return noted if set(noted) & set(running) else running


def remove_unfinished(compose: Compose) -> None:
    """Removes the app's containers that do not run, and the hidden ones: a swap that was killed leaves such."""
    running = [container for container in compose.containers("app") if "app" in read_aliases(compose, container)]
    remove_containers(list_others(compose, running))


def list_others(compose: Compose, containers: Iterable[str]) -> list[str]:
    """The app's containers, running or not, that are not in `containers`."""
    return [other for other in compose.containers("app", include_stopped=True) if other not in containers]


def remove_containers(containers: Iterable[str]) -> None:
    """Removes containers at once, running or not."""
    if ids := list(containers):
        subprocess.run(["docker", "rm", "--force", *ids], stdout=subprocess.DEVNULL, check=True)


def remove_volumes(volumes: Iterable[str]) -> None:
    """Removes volumes with what they hold. A volume that a container uses stays."""
    if names := list(volumes):
        engine.output("docker", "volume", "rm", *names)
