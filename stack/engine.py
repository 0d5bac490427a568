"""Finds the Docker engine with its Compose and buildx plugins. `stack/install.py` installs what is missing."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from stack import Problem

# The oldest releases that this project works with.
FLOORS = {"compose": (2, 24), "buildx": (0, 12)}
NO_ENGINE = "a Docker engine that answers"
DEFAULT_SOCKET = "unix:///var/run/docker.sock"


class Versions(NamedTuple):
    """The versions that a machine has; "" where a part is missing or does not answer."""

    engine: str
    compose: str
    buildx: str


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps what it prints, whether it fails or not. `options`: those of `subprocess.run`.

    (!) A program may print any bytes. Those that are no UTF-8 become a mark, where Python would raise an error.
    """
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **options)


def output(*command: str, timeout: float = 60) -> str | None:
    """The stdout of a command, stripped; None where the command fails, is missing or takes too long (seconds)."""
    try:
        done = run(*command, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def read_engine_version() -> str:
    """The version of the engine that answers; "" where none does."""
    return output("docker", "version", "--format", "{{.Server.Version}}") or ""


def read_versions() -> Versions:
    """Asks the engine and both plugins at the same time, because each answer takes a tenth of a second."""
    with ThreadPoolExecutor() as pool:
        engine = pool.submit(read_engine_version)
        compose = pool.submit(output, "docker", "compose", "version", "--short")
        buildx = pool.submit(output, "docker", "buildx", "version")
        return Versions(engine.result(), compose.result() or "", " ".join((buildx.result() or "").split()[1:2]))


@cache
def is_local() -> bool:
    """Whether the engine is on this host, so that the ports that it publishes are open here."""
    endpoint = output("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}") or ""
    return not endpoint.startswith(("tcp:", "ssh:", "http"))


def find_missing() -> list[str]:
    """The missing parts of: client, engine, Compose, buildx. A plugin that is too old counts as missing."""
    if not shutil.which("docker"):
        return ["the docker client", "a Docker engine", name_plugin("compose"), name_plugin("buildx")]
    versions = read_versions()
    missing = [] if versions.engine else [NO_ENGINE]
    for plugin, version in (("compose", versions.compose), ("buildx", versions.buildx)):
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        if not numbers:
            missing.append(name_plugin(plugin))
        elif (int(numbers[1]), int(numbers[2])) < FLOORS[plugin]:
            missing.append(f"{name_plugin(plugin)} (here is {version})")
    return missing


def name_plugin(plugin: str) -> str:
    """A plugin with its oldest release: "Docker Compose 2.24 or later"."""
    name = "Docker Compose" if plugin == "compose" else f"Docker {plugin}"
    return f"{name} {'.'.join(map(str, FLOORS[plugin]))} or later"


def check() -> None:
    """Raises `Problem` unless every part is there."""
    parts = find_missing()
    if NO_ENGINE in parts:
        raise Problem(explain_silence())
    if parts:
        raise Problem(f"{' and '.join(parts)} not found: run `{'' if os.geteuid() == 0 else 'sudo '}make engine`")


def explain_silence() -> str:
    """Why no engine answers, and what to do about that: each cause has another remedy."""
    done = run("docker", "version")
    context = output("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    endpoint = os.environ.get("DOCKER_HOST") or context or DEFAULT_SOCKET
    rootless = f"{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.getuid()}'}/docker.sock"
    if "permission denied" in done.stderr.lower():
        return (
            f"this user may not use the Docker engine at {endpoint}: "
            "run `sudo usermod -aG docker $USER`, and log in again"
        )
    if endpoint != DEFAULT_SOCKET:
        return (
            f"no Docker engine answers at {endpoint}: start that engine, "
            "or choose another by DOCKER_HOST or `docker context use`"
        )
    if Path(rootless).exists():
        return f"{NO_ENGINE} not found, but one without root is there: set DOCKER_HOST=unix://{rootless}"
    return (
        f"{NO_ENGINE} not found: start Docker if it is installed (`sudo systemctl start docker`, or Docker Desktop), "
        "else run `sudo make engine`"
    )


def describe() -> str:
    """The versions in one phrase."""
    versions = read_versions()
    return f"Docker {versions.engine}, Compose {versions.compose}, buildx {versions.buildx}"
