"""The Docker engine as the tests use it: through docker-py, each container by its id."""

from collections.abc import Mapping
from threading import local
from typing import Any

import docker as docker_py
from docker.errors import APIError, NotFound

from stack.compose import LABEL

TIMEOUT = 180  # seconds that one call to the engine may take
CONFLICT = 409  # the status of a removal that another process has begun

CLIENTS = local()


def client() -> docker_py.DockerClient:
    """The client of this thread. It speaks the newest API version that the engine and docker-py share.

    Threads must not share a client. docker-py puts the connection of a running `exec` back into the client's pool, so
    another thread would send its request into the stream of the `exec`, and would wait for ever.
    """
    if not hasattr(CLIENTS, "client"):
        CLIENTS.client = docker_py.from_env(version="auto", timeout=TIMEOUT)
    return CLIENTS.client


def list_image_projects() -> set[str]:
    """The Compose projects whose name an image carries as a label."""
    images = client().api.images(filters={"label": f"{LABEL}.project"})
    return {(image["Labels"] or {})[f"{LABEL}.project"] for image in images}


def inspect(container: str) -> dict[str, Any]:
    """All that the engine knows of a container (`docker inspect`)."""
    return client().api.inspect_container(container)


def address_in(container: str, network: str) -> str:
    """The IPv4 address of a container in a network."""
    return inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]


def read_end(container: str) -> tuple[int, bool]:
    """The exit code of a container that has ended, and whether the kernel killed it for its memory."""
    state = inspect(container)["State"]
    return state["ExitCode"], state["OOMKilled"]


def image_id(image: str) -> str:
    """The id of an image."""
    return client().api.inspect_image(image)["Id"]


def exec_in(
    container: str, *command: str, check: bool = True, environment: Mapping[str, str] | None = None, user: str = ""
) -> str:
    """What a command prints inside a container, both streams; with `check` its exit status must be 0."""
    status, output = exec_status(container, *command, environment=environment, user=user)
    assert not check or status == 0, f"{' '.join(command)} ended with {status}: {output}"
    return output


def exec_status(
    container: str, *command: str, environment: Mapping[str, str] | None = None, user: str = ""
) -> tuple[int, str]:
    """The exit status of a command inside a container, and what the command prints on both streams."""
    api = client().api
    process = api.exec_create(container, list(command), environment=dict(environment or {}), user=user)["Id"]
    output = api.exec_start(process).decode(errors="replace").strip()
    return api.exec_inspect(process)["ExitCode"], output


def run_once(image: str, *command: str, check: bool = True, **options: Any) -> str:
    """Runs a container to its end and removes it; what it prints, both streams. `options`: docker-py's `create`."""
    container = client().containers.create(image, list(command) or None, **options)
    try:
        container.start()
        status = container.wait()["StatusCode"]
        output = container.logs(stdout=True, stderr=True).decode(errors="replace").strip()
    finally:
        container.remove(force=True, v=True)
    assert not check or status == 0, f"{image} {' '.join(command)} ended with {status}: {output}"
    return output


def run_detached(image: str, *command: str, **options: Any) -> str:
    """Starts a container and returns its id. `options`: docker-py's `create`."""
    return str(client().containers.run(image, list(command) or None, detach=True, **options).id)


def stop(container: str, seconds: int | None = None) -> None:
    """Sends a container its stop signal and waits for its end. Docker kills it after `seconds`, or its own limit."""
    client().api.stop(container, timeout=seconds)


def restart(container: str, seconds: int = 1) -> None:
    """Stops a container, which Docker kills after `seconds`, and starts it again."""
    client().api.restart(container, timeout=seconds)


def send_signal(container: str, name: str) -> None:
    """Sends a signal, such as `SIGTERM`, to the first process of a container."""
    client().api.kill(container, signal=name)


def remove(*containers: str) -> None:
    """Removes containers at once, with their anonymous volumes. A container that is gone already is no error."""
    for container in containers:
        try:
            client().api.remove_container(container, force=True, v=True)
        except NotFound:
            continue
        except APIError as error:
            if error.status_code != CONFLICT:
                raise


def list_containers(project: str, service: str, running: bool = False) -> list[str]:
    """The ids of a service's containers in a Compose project; with `running`, only of those that run."""
    labels = [f"{LABEL}.project={project}", f"{LABEL}.service={service}"]
    return [container["Id"] for container in client().api.containers(all=not running, filters={"label": labels})]


def remove_project(name: str) -> None:
    """Removes the containers, the networks and the volumes of a Compose project, without its files."""
    labels = {"label": f"{LABEL}.project={name}"}
    remove(*(container.id for container in client().containers.list(all=True, filters=labels)))
    for network in client().networks.list(filters=labels):
        network.remove()
    for volume in client().volumes.list(filters=labels):
        volume.remove()


def list_projects() -> set[str]:
    """The Compose projects that have a container, a network or a volume on this engine."""
    key = f"{LABEL}.project"
    api, labels = client().api, {"label": key}
    resources = (*api.containers(all=True, filters=labels), *api.networks(filters=labels))
    volumes = api.volumes(filters=labels)["Volumes"] or ()
    return {resource["Labels"][key] for resource in (*resources, *volumes)}


def create_network(name: str, labels: Mapping[str, str]) -> None:
    """Makes a network with these labels."""
    client().api.create_network(name, labels=dict(labels))


def remove_network(name: str) -> None:
    """Removes a network. A network that is gone already is no error."""
    try:
        client().api.remove_network(name)
    except NotFound:
        return


def inspect_network(name: str) -> dict[str, Any]:
    """All that the engine knows of a network (`docker network inspect`)."""
    return client().api.inspect_network(name)


def read_logs(container: str, since: float = 0) -> str:
    """What a container printed since a moment (Unix seconds), both streams."""
    options = {"since": since} if since else {}
    return client().api.logs(container, **options).decode(errors="replace").strip()
