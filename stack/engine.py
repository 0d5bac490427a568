"""Finds the Docker engine with its Compose and buildx plugins. `stack/install.py` installs what is missing."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

from stack import Problem


class Versions(NamedTuple):
    """The versions that a machine has; "" where a part is missing or does not answer."""

    engine: str
    compose: str
    buildx: str


def output(*command: str, timeout: float = 60) -> str | None:
    """The stdout of a command, stripped; None where the command fails, is missing or takes too long (seconds)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
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
    """The missing parts of: client, engine, Compose (v2 or later), buildx."""
    if not shutil.which("docker"):
        return ["the docker client", "a Docker engine", "Docker Compose v2", "Docker buildx"]
    versions = read_versions()
    parts = {
        "a Docker engine that answers": bool(versions.engine),
        "Docker Compose v2": bool(re.match(r"v?([2-9]|\d\d)\.", versions.compose)),
        "Docker buildx": bool(versions.buildx),
    }
    return [name for name, is_there in parts.items() if not is_there]


def check() -> None:
    """Raises `Problem` unless every part is there."""
    if parts := find_missing():
        raise Problem(f"{' and '.join(parts)} not found: run `make engine`, or start Docker if it is installed")


def describe() -> str:
    """The versions in one phrase."""
    versions = read_versions()
    return f"Docker {versions.engine}, Compose {versions.compose}, buildx {versions.buildx}"
