"""The engine as the tests ask it: through docker-py, by a container's id."""

import subprocess
from collections.abc import Mapping
from threading import local
from typing import Any

import docker as docker_py
from docker.errors import NotFound

CLIENTS = local()


def client() -> docker_py.DockerClient:
    """The client of this thread. It speaks the API version that the engine offers.

    Threads must not share a client. docker-py puts the connection of a running `exec` back into the client's pool, so
    another thread would send its request into the stream of the `exec`, and would wait for ever.
    """
    if not hasattr(CLIENTS, "client"):
        CLIENTS.client = docker_py.from_env(timeout=180)
    return CLIENTS.client


def docker(*arguments: str, check: bool = True) -> str:
    """What a docker command prints, both streams."""
    done = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}"
    return done.stdout.strip()


def inspect(container: str) -> dict[str, Any]:
    """All that the engine knows of a container (`docker inspect`)."""
    return client().api.inspect_container(container)


def exec_in(
    container: str, *command: str, check: bool = True, environment: Mapping[str, str] | None = None, user: str = ""
) -> str:
    """What a command prints inside a container, both streams; with `check` its exit status must be 0."""
    api = client().api
    started = api.exec_create(container, list(command), environment=dict(environment or {}), user=user)["Id"]
    output = api.exec_start(started).decode(errors="replace").strip()
    status = api.exec_inspect(started)["ExitCode"]
    assert not check or status == 0, f"{' '.join(command)} ended with {status}: {output}"
    return output


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


def remove(*containers: str) -> None:
    """Removes containers at once, with their anonymous volumes; one that is gone already is no error."""
    for container in containers:
        try:
            client().api.remove_container(container, force=True, v=True)
        except NotFound:
            continue


def read_logs(container: str, since: float = 0) -> str:
    """What a container printed since a moment (Unix seconds), both streams."""
    options = {"since": since} if since else {}
    return client().api.logs(container, **options).decode(errors="replace").strip()
