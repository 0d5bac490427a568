"""One compose project: this checkout's, or one under a name, environment and ports of its own (the tests')."""

import errno
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from stack import ROOT, Problem, engine, images

LABEL = "com.docker.compose"


class Port(NamedTuple):
    """A published port: where a client connects, and what it reaches."""

    service: str
    host: str
    number: int
    inside: int
    protocol: str


class Compose:
    """`docker compose` in this checkout with `environment` on top of the caller's own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Every profile: a proxy that is not asked for is still one of the stack. What starts is always named.
        self.environment = {**os.environ, "COMPOSE_PROFILES": "*", **(environment or {})}
        bundle = images.ca_bundle()
        if bundle:
            self.environment.setdefault("CA_BUNDLE", bundle)
            # Compose 2.40 asks leave to read a secret outside the checkout for one service at random, and is refused.
            self.environment.setdefault("BUILDX_BAKE_ENTITLEMENTS_FS", "0")

    def run(self, *arguments: str, capture: bool = True, check: bool = True, **environment: str) -> str:
        """Runs a subcommand; its output, or, with `capture=False`, shown as it comes. `Problem` where it fails."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            said = [line.strip() for line in (done.stderr or "").splitlines() if line.strip()]
            wrong = next((line for line in reversed(said) if "rror" in line), said[-1] if said else "")
            raise Problem(f"docker compose {arguments[0]} failed{': ' if wrong else ' (see above)'}{wrong}")
        return done.stdout or ""

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration with every variable in place."""
        return json.loads(self.run("config", "--format", "json"))

    @property
    def project(self) -> str:
        """The project's name."""
        return self.environment.get("COMPOSE_PROJECT_NAME") or self.config["name"]

    @property
    def builder(self) -> str:
        """The project whose name the images carry, as a label: one for all projects that share them by IMAGES.

        Under a name of each test run's own, an image would never be the same.
        """
        return self.environment.get("IMAGES") or self.project

    def ports(self) -> list[Port]:
        """Every port that the configuration publishes."""
        return [
            Port(name, port.get("host_ip", "0.0.0.0"), int(port["published"]), port["target"], port["protocol"])
            for name, service in self.config["services"].items()
            for port in service.get("ports", [])
        ]

    def proxies(self) -> list[str]:
        """The services that publish ports: only proxies do."""
        return list(dict.fromkeys(port.service for port in self.ports()))

    def default_proxies(self) -> list[str]:
        """Those that run where none is asked for: the ones without a profile."""
        return [name for name in self.proxies() if not self.config["services"][name].get("profiles")]

    def profiles(self) -> dict[str, list[str]]:
        """The profiles of each service that has any."""
        return {name: one["profiles"] for name, one in self.config["services"].items() if one.get("profiles")}

    def containers(self, service: str = "", everything: bool = False) -> list[str]:
        """The ids of the project's running containers; `everything`: stopped ones too."""
        label = [f"label={LABEL}.project={self.project}", *([f"label={LABEL}.service={service}"] if service else [])]
        filters = [word for one in label for word in ("--filter", one)]
        listed = engine.output("docker", "ps", "--quiet", "--no-trunc", *(["--all"] if everything else []), *filters)
        return (listed or "").split()

    def inspect(self, container: str, template: str) -> str:
        """One value of `docker inspect`; "" where the container is gone."""
        return engine.output("docker", "inspect", "--format", template, container) or ""

    def owned_elsewhere(self) -> str:
        """The folder of another checkout that runs a project of this name; "" where none does."""
        template = f'{{{{index .Config.Labels "{LABEL}.project.working_dir"}}}}'
        folders = {self.inspect(one, template) for one in self.containers(everything=True)}
        return next((folder for folder in folders if folder and folder != str(ROOT)), "")

    def exists(self) -> bool:
        """Whether the project has any container, network or volume."""
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        label = f"label={LABEL}.project={self.project}"
        return any(engine.output("docker", *kind, "--quiet", "--filter", label) for kind in kinds)

    def down(self) -> None:
        """Removes the project's containers, networks and volumes, and nothing else."""
        self.run("down", "--volumes", "--remove-orphans")

    def undo(self, keep_volumes: bool = False) -> None:
        """Removes what an interrupted start made: the engine may still be making what it was asked for last."""
        for _ in range(5):
            self.run("down", "--remove-orphans", *([] if keep_volumes else ["--volumes"]))
            time.sleep(1)
            if not (self.containers(everything=True) if keep_volumes else self.exists()):
                return

    def logs(self, container: str, lines: int = 50) -> str:
        """The end of a container's log."""
        done = subprocess.run(
            ["docker", "logs", "--tail", str(lines), container], capture_output=True, text=True, check=False
        )
        return (done.stdout + done.stderr).strip()

    def check_command(self, service: str) -> list[str]:
        """What a container of the service runs to judge its own configuration; empty where it has no such command."""
        return self.config["services"][service].get("labels", {}).get("stack.check", "").split()

    def is_current(self, service: str, containers: Iterable[str]) -> bool:
        """Whether all these containers have the service's present configuration and image."""
        wanted = self.run("config", "--hash", service).split()[1]
        image = self.inspect(self.config["services"][service]["image"], "{{.Id}}")
        template = f'{{{{index .Config.Labels "{LABEL}.config-hash"}}}} {{{{.Image}}}}'
        return all(self.inspect(one, template) == f"{wanted} {image}" for one in containers)

    @cached_property
    def published(self) -> set[tuple[int, str]]:
        """The ports that this project's own containers publish now, as (number, protocol)."""
        template = (
            "{{range $p, $all := .NetworkSettings.Ports}}{{range $all}}{{.HostPort}} {{$p}}{{println}}{{end}}{{end}}"
        )
        lines = [line for one in self.containers() for line in self.inspect(one, template).splitlines() if line]
        return {(int(line.split()[0]), line.rpartition("/")[2]) for line in lines}

    def unusable(self, port: Port) -> int:
        """Why a port cannot be published on this host, as an errno; 0 where it can, or where we have it already."""
        if self.environment.get("DOCKER_HOST", "").startswith(("tcp", "ssh")):
            return 0
        family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM) as probe:
            if port.protocol == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((port.host, port.number))
            except PermissionError:
                return 0  # below 1024, and only the engine is root
            except OSError as error:
                ours = error.errno == errno.EADDRINUSE and (port.number, port.protocol) in self.published
                return 0 if ours else error.errno or errno.EADDRINUSE
        return 0


def sweep(project: str, *filters: str) -> tuple[int, int]:
    """Removes a compose project's images, but for those that a container has: how many there were, and are left."""
    words = [word for one in (f"label={LABEL}.project={project}", *filters) for word in ("--filter", one)]
    found = set((engine.output("docker", "image", "ls", "--quiet", "--no-trunc", *words) or "").split())
    if found:
        engine.output("docker", "image", "rm", *found)
    return len(found), sum(map(images.exists, found))
