"""One Compose project under one set of settings: this checkout's, or one of the tests or the bench.

A `Compose` never changes. Other settings make another object (`with_settings`), so that nothing that was read under the
old settings is used under the new ones.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from stack import ROOT, Problem, engine, images

LABEL = "com.docker.compose"


class Compose:
    """`docker compose` in this checkout, with `environment` on top of the caller's own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Every profile: a proxy that nobody asked for still belongs to the project. What starts is always named.
        settings = {**os.environ, "COMPOSE_PROFILES": "*", **(environment or {})}
        bundle = images.ca_bundle()
        if bundle:
            settings.setdefault("CA_BUNDLE", bundle)
            # Compose 2.40 asks for leave to read a secret outside the checkout, for one service at random.
            settings.setdefault("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
        self.environment: Mapping[str, str] = MappingProxyType(settings)

    def with_settings(self, settings: Mapping[str, str]) -> "Compose":
        """The same project with `settings` on top of the present ones."""
        return Compose({**self.environment, **settings})

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a subcommand and keeps what it prints, whether it fails or not."""
        return subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: str, check: bool = True, environment: Mapping[str, str] | None = None) -> str:
        """Runs a subcommand and returns what it prints; with `check`, `Problem` with its error where it fails."""
        done = self.command(*arguments, environment=environment)
        if check and done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            error = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "no message")
            raise Problem(f"docker compose {arguments[0]} failed: {error}")
        return done.stdout

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration with every variable in place."""
        return json.loads(self.run("config", "--format", "json"))

    @property
    def services(self) -> dict[str, Any]:
        """The configuration of every service, by name."""
        return self.config["services"]

    @property
    def project(self) -> str:
        """The project's name."""
        return self.environment.get("COMPOSE_PROJECT_NAME") or self.config["name"]

    @property
    def image_project(self) -> str:
        """The project whose name the images carry as a label.

        Projects that share images (`IMAGES`) share this name: with another name, the same image would be built anew.
        """
        return self.environment.get("IMAGES") or self.project

    def proxies(self) -> list[str]:
        """The services that publish ports: only proxies do."""
        return [name for name, service in self.services.items() if service.get("ports")]

    def default_proxies(self) -> list[str]:
        """The proxies without a profile: they run where the user names none."""
        return [name for name in self.proxies() if not self.services[name].get("profiles")]

    def profiles(self) -> dict[str, list[str]]:
        """The profiles of each service that has any."""
        return {name: service["profiles"] for name, service in self.services.items() if service.get("profiles")}

    def containers(self, service: str = "", include_stopped: bool = False) -> list[str]:
        """The ids of the project's running containers, of one service or of all."""
        labels = [f"label={LABEL}.project={self.project}", *([f"label={LABEL}.service={service}"] if service else [])]
        filters = [word for label in labels for word in ("--filter", label)]
        command = ["docker", "ps", "--quiet", "--no-trunc", *(["--all"] if include_stopped else []), *filters]
        return (engine.output(*command) or "").split()

    def container(self, service: str) -> str:
        """The id of a service's only container, running or not."""
        (container,) = self.containers(service, include_stopped=True)
        return container

    def inspect(self, container: str, template: str) -> str:
        """One value of `docker inspect`; "" where the container is gone."""
        return engine.output("docker", "inspect", "--format", template, container) or ""

    def address(self, container: str, network: str) -> str:
        """The IPv4 address of a container in one of the project's networks."""
        return self.inspect(
            container, f'{{{{(index .NetworkSettings.Networks "{self.project}_{network}").IPAddress}}}}'
        )

    def logs(self, container: str, lines: int = 50) -> str:
        """The last lines of a container's log, both streams."""
        command = ["docker", "logs", "--tail", str(lines), container]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout.strip()

    def owned_elsewhere(self) -> str:
        """The folder of another checkout that runs a project of this name; "" where none does."""
        template = f'{{{{index .Config.Labels "{LABEL}.project.working_dir"}}}}'
        folders = {self.inspect(container, template) for container in self.containers(include_stopped=True)}
        return next((folder for folder in folders if folder and folder != str(ROOT)), "")

    def exists(self) -> bool:
        """Whether the project has any container, network or volume."""
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        label = f"label={LABEL}.project={self.project}"
        return any(engine.output("docker", *kind, "--quiet", "--filter", label) for kind in kinds)

    def check_command(self, service: str) -> list[str]:
        """The command with which a container of the service checks its own configuration; empty where it has none."""
        return self.services[service].get("labels", {}).get("stack.check", "").split()

    def is_current(self, service: str, containers: Iterable[str]) -> bool:
        """Whether all these containers have the service's present configuration and image."""
        config_hash = self.run("config", "--hash", service).split()[1]
        image = self.inspect(self.services[service]["image"], "{{.Id}}")
        template = f'{{{{index .Config.Labels "{LABEL}.config-hash"}}}} {{{{.Image}}}}'
        return all(self.inspect(container, template) == f"{config_hash} {image}" for container in containers)
