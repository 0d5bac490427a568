"""One Compose project under one set of settings: this checkout's, or one of the tests or the bench.

A `Compose` never changes. Other settings make another object (`with_settings`), so that nothing that was read under the
old settings is used under the new ones.
"""

import json
import os
import subprocess
from collections.abc import Container, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from stack import ROOT, Problem, engine, images, proxies

LABEL = "com.docker.compose"
KINDS = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))  # what a project can leave on the engine


# What the engine says, and what helps.
HELP = {
    "tcp_migrate_req": "the kernel is older than Linux 5.14: remove the line sysctls of the app from compose.yaml",
    "address pool": "the engine has no network left: remove some (`docker network ls`), or give it more addresses "
    "(default-address-pools in /etc/docker/daemon.json)",
}


def explain(error: str) -> str:
    """What helps against an error of the engine; the error itself where nothing is known."""
    return next((words for sign, words in HELP.items() if sign in error), error)


class Compose:
    """`docker compose` in this checkout, with `environment` on top of the caller's own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Every profile is on, because a proxy that the user did not name belongs to the project too. The commands that
        # start something name the services.
        settings = {**os.environ, "COMPOSE_PROFILES": "*", **(environment or {})}
        bundle = images.ca_bundle()
        if bundle:
            settings.setdefault("CA_BUNDLE", bundle)
            # Compose 2.40 asks for permission to read a secret outside the checkout, for one service at random.
            settings.setdefault("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
        # An attestation has the time of the build: with it, the same image has another id after each build.
        settings.setdefault("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        self.environment: Mapping[str, str] = MappingProxyType(settings)

    def with_settings(self, settings: Mapping[str, str]) -> "Compose":
        """The same project with `settings` on top of the present ones."""
        environment = {**self.environment, **settings}
        return self if environment == self.environment else Compose(environment)

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a subcommand and keeps what it prints, whether it fails or not. `stdin` is what the subcommand reads."""
        everything = {**self.environment, **(environment or {})}
        return engine.run("docker", "compose", *arguments, cwd=ROOT, env=everything, input=stdin)

    def run(
        self,
        *arguments: str,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        """Runs a subcommand and returns what it prints; with `check`, `Problem` with its error where it fails."""
        done = self.command(*arguments, environment=environment, stdin=stdin)
        if check and done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            last = next((n for n in reversed(range(len(lines))) if "rror" in lines[n]), len(lines) - 1)
            count = 2 if lines[last].endswith(":") else 1  # the line after a colon is the reason
            error = " ".join(lines[last : last + count])
            raise Problem(f"docker compose {arguments[0]} failed: {explain(error)}")
        return done.stdout

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration with the value of every variable."""
        return json.loads(self.run("config", "--format", "json"))

    @cached_property
    def config_hashes(self) -> dict[str, str]:
        """The hash of each service's configuration, which Compose also writes on a container as a label.

        Compose hashes the configuration that it printed, because its own `--hash` leaves the variables of env_file out.
        """
        folder = {"COMPOSE_FILE": "-", "COMPOSE_PROJECT_NAME": self.project}
        lines = self.run("config", "--hash", "*", environment=folder, stdin=json.dumps(self.config)).splitlines()
        return dict(line.split() for line in lines)

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

        Projects that share images (`IMAGES`) share this name, because the same image under another name would be built
        anew.
        """
        return self.environment.get("IMAGES") or self.project

    def proxies(self) -> list[str]:
        """The services that are proxies (stack/proxies.py)."""
        return [name for name in self.services if name in proxies.names()]

    def default_proxies(self) -> list[str]:
        """The proxies without a profile: they run where the user names none."""
        return [name for name in self.proxies() if not self.services[name].get("profiles")]

    def profiles(self) -> dict[str, list[str]]:
        """The profiles of each service that has any."""
        return {name: service["profiles"] for name, service in self.services.items() if service.get("profiles")}

    def containers(self, service: str = "", include_stopped: bool = False, one_offs: bool = False) -> list[str]:
        """The ids of the project's running containers, of one service or of all.

        `one_offs`: the containers of `docker compose run` in place of the services' own. They are the user's.
        """
        filters = self.filter_by_label(oneoff=str(one_offs), **({"service": service} if service else {}))
        command = ["docker", "ps", "--quiet", "--no-trunc", *(["--all"] if include_stopped else []), *filters]
        return (engine.output(*command) or "").split()

    def containers_by_service(self) -> dict[str, list[str]]:
        """The ids of the project's running containers, by service; a service without any is left out."""
        template = f'{{{{.Label "{LABEL}.service"}}}} {{{{.ID}}}}'
        command = ["docker", "ps", "--no-trunc", "--format", template, *self.filter_by_label(oneoff="False")]
        services: dict[str, list[str]] = {}
        for line in (engine.output(*command) or "").splitlines():
            service, container = line.split()
            services.setdefault(service, []).append(container)
        return services

    def filter_by_label(self, **labels: str) -> list[str]:
        """The options with which `docker ps` and its like list what belongs to the project, with these labels too."""
        pairs = {"project": self.project, **labels}.items()
        return [word for name, value in pairs for word in ("--filter", f"label={LABEL}.{name}={value}")]

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
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode(errors="replace").strip()

    def owned_elsewhere(self) -> str:
        """The folder of another checkout that runs a project of this name; "" where none does."""
        template = f'{{{{.Label "{LABEL}.project.working_dir"}}}}'
        folders = engine.output("docker", "ps", "--all", "--format", template, *self.filter_by_label()) or ""
        return next((folder for folder in folders.splitlines() if folder not in ("", str(ROOT))), "")

    def exists(self, but_volumes: Container[str] = ()) -> bool:
        """Whether the project has any container, any network, or any volume other than `but_volumes`."""
        listed = (engine.output("docker", *kind, "--quiet", *self.filter_by_label()) or "" for kind in KINDS)
        return any(name not in but_volumes for names in listed for name in names.split())

    def volumes(self) -> list[str]:
        """The names of the project's volumes, which hold its data."""
        return (engine.output("docker", "volume", "ls", "--quiet", *self.filter_by_label()) or "").split()

    def remove_networks(self) -> None:
        """Removes the project's networks that `docker compose down` does not know: `data` under another APP_EGRESS."""
        if ids := (engine.output("docker", "network", "ls", "--quiet", *self.filter_by_label()) or "").split():
            engine.output("docker", "network", "rm", *ids)

    def network(self, name: str) -> str:
        """The engine's name of one of the project's networks."""
        return self.config["networks"][name]["name"]

    def image(self, service: str) -> str:
        """The image of a service; Compose names the image of a service that has a build only."""
        return self.services[service].get("image") or f"{self.project}-{service}"

    def check_command(self, service: str) -> list[str]:
        """The command with which a container of the service checks its own configuration; empty where it has none."""
        return self.services[service].get("labels", {}).get("stack.check", "").split()

    def is_current(self, service: str, containers: Iterable[str]) -> bool:
        """Whether all these containers have the service's present configuration and image."""
        image = images.read_ids([self.image(service)])
        current = f"{self.config_hashes[service]} {next(iter(image.values()), '')}"
        return all(self.read_version(container) == current for container in containers)

    def read_version(self, container: str) -> str:
        """What tells an outdated container from a current one: the hash of its configuration, and its image's id."""
        return self.inspect(container, f'{{{{index .Config.Labels "{LABEL}.config-hash"}}}} {{{{.Image}}}}')
