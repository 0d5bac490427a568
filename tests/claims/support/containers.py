"""What the claims ask of the engine beyond tests/support/engine.py: streams, processes, subnets, exit codes."""

import time

from docker.errors import APIError

from stack.compose import LABEL
from tests.support.engine import client, remove

# The hardening of compose.yaml, for containers that a claim starts itself.
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def project_labels(project: str) -> dict[str, str]:
    """Labels that make a container part of a Compose project.

    `docker compose ls` shows only projects whose containers have a `config-hash`. `remove_leftovers` reads that list.
    """
    return {f"{LABEL}.project": project, f"{LABEL}.config-hash": "none"}


def exec_separately(container: str, *command: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command inside a container."""
    api = client().api
    process = api.exec_create(container, list(command))["Id"]
    output, errors = api.exec_start(process, demux=True)
    status = api.exec_inspect(process)["ExitCode"]
    return status, (output or b"").decode(errors="replace"), (errors or b"").decode(errors="replace")


def exec_in_background(container: str, *command: str) -> None:
    """Starts a command inside a container and does not wait for its end."""
    api = client().api
    api.exec_start(api.exec_create(container, list(command))["Id"], detach=True)


def list_processes(container: str) -> list[list[str]]:
    """Pid, parent, state and command line of a container's processes, with the pids of the host (`docker top`).

    The list is empty where the container has ended.
    """
    try:
        return client().api.top(container, ps_args="-eo pid,ppid,stat,args")["Processes"] or []
    except APIError:
        return []


def read_subnet(network: str) -> str:
    """The first IPv4 subnet of a network."""
    return client().api.inspect_network(network)["IPAM"]["Config"][0]["Subnet"]


def read_exit_codes(container: str, since: float) -> list[str]:
    """The exit codes with which a container has ended since a moment (Unix seconds)."""
    events = client().events(
        since=int(since), until=int(time.time()) + 1, filters={"event": "die", "container": container}, decode=True
    )
    return [event["Actor"]["Attributes"]["exitCode"] for event in events]


def remove_project(project: str) -> None:
    """Removes every container that carries a project's label."""
    remaining = client().api.containers(quiet=True, all=True, filters={"label": f"{LABEL}.project={project}"})
    remove(*(container["Id"] for container in remaining))
