#!/usr/bin/env python3
"""Chooses the server script that the settings name, and becomes it.

The folders are the registry: `servers/<interface>/<server>.sh` and `<interface>/<app>.py`. `make up` calls
`choose` on the host to refuse a wrong name before anything is built; the container runs the same function
and then the script, so that plain `docker compose up` says the same. Standard library only.
"""

import os
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from ipaddress import IPv4Network
from pathlib import Path
from platform import python_version

HERE = Path(__file__).resolve().parent
INTERFACES = ("asgi", "wsgi")
DEFAULTS = {"SERVER": "granian", "APP": "bare", "WORKERS": "2", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20"}


class SettingsError(ValueError):
    """A setting that cannot be served; the message says what is wrong and what would be right."""


@dataclass(frozen=True)
class Choice:
    """Valid settings: who serves what; KEEPALIVE and GRACE are in seconds."""

    SERVER: str
    INTERFACE: str
    APP: str
    WORKERS: int
    THREADS: int
    KEEPALIVE: int
    GRACE: int

    @property
    def script(self) -> Path:
        """The file that starts the server."""
        return HERE / "servers" / self.INTERFACE / f"{self.SERVER}.sh"

    @property
    def base(self) -> str:
        """The image that can run it, by the base that this is built on: `APP_BASE` in apps/Dockerfile."""
        return facts(self.script).get("base", "app")

    def environment(self) -> dict[str, str]:
        """The settings as the environment that a server script reads."""
        return {name: str(value) for name, value in asdict(self).items()}


def names(folder: Path, suffix: str) -> list[str]:
    """The names that a registry folder offers."""
    return sorted(path.stem for path in folder.glob(f"*{suffix}") if not path.stem.startswith("_"))


def servers() -> dict[str, list[str]]:
    """Every server's name and the interfaces it has a script for."""
    found: dict[str, list[str]] = {}
    for interface in INTERFACES:
        for name in names(HERE / "servers" / interface, ".sh"):
            found.setdefault(name, []).append(interface)
    return dict(sorted(found.items()))


def pairs() -> list[tuple[str, str]]:
    """Every server and interface that there is a script for."""
    return [(server, interface) for server, interfaces in servers().items() for interface in interfaces]


def apps(interface: str) -> list[str]:
    """The applications of one interface."""
    return names(HERE / interface, ".py")


def facts(script: Path) -> dict[str, str]:
    """The `# Name: value` lines of a script's comment block, by lower-case name, and its first line as `title`."""
    lines = [line[2:] for line in script.read_text().splitlines() if line.startswith("# ")]
    pairs = (line.partition(": ") for line in lines[1:])
    return {"title": lines[0] if lines else ""} | {
        name.lower(): value for name, mark, value in pairs if mark and name.isalpha()
    }


def bases() -> list[str]:
    """What the images of all servers are built on: `# Base:` in their scripts."""
    return sorted({facts(script).get("base", "app") for script in (HERE / "servers").glob("*/*.sh")})


def version(server: str) -> str:
    """The release of the distribution that a server's name begins with; Python's own where there is none (wsgiref)."""
    try:
        return metadata.version(server.split("-")[0])
    except metadata.PackageNotFoundError:
        return python_version()


def _whole(name: str, value: str, smallest: int, largest: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 9 and smallest <= int(value) <= largest):
        allowed = f"a whole number from {smallest} to {largest}"
        raise SettingsError(f"{name}={value} is not a number that can be used: give {allowed}")
    return int(value)


def _one_of(name: str, value: str, allowed: list[str], what: str) -> str:
    if value not in allowed:
        raise SettingsError(f"{name}={value} is not {what}: choose {', '.join(allowed)}")
    return value


def choose(environ: Mapping[str, str]) -> Choice:
    """Valid settings from `environ`, with defaults for what it leaves empty; `SettingsError` otherwise."""
    given = {name: value for name, value in environ.items() if value.strip()}
    want = DEFAULTS | given
    server = _one_of("SERVER", want["SERVER"], list(servers()), "a server here")
    has = servers()[server]
    if "INTERFACE" in given:
        interface = _one_of("INTERFACE", given["INTERFACE"], list(INTERFACES), "an interface")
        _one_of("INTERFACE", interface, has, f"one that {server} serves here")
        app = _one_of("APP", want["APP"], apps(interface), f"an {interface} application here")
    else:
        app = _one_of(
            "APP", want["APP"], sorted({a for i in has for a in apps(i)}), f"an application for {server} here"
        )
        interface = next(i for i in has if app in apps(i))
    script = HERE / "servers" / interface / f"{server}.sh"
    workers = _whole("WORKERS", want["WORKERS"], 1, 256)
    if facts(script).get("workers", "").startswith("one"):
        if "WORKERS" in given and workers > 1:
            raise SettingsError(
                f"WORKERS={workers} cannot be: {server} is one process ({interface}); leave WORKERS out, "
                "or run more containers"
            )
        workers = 1
    return Choice(
        server,
        interface,
        app,
        workers,
        _whole("THREADS", want["THREADS"], 1, 1024),
        _whole("KEEPALIVE", want["KEEPALIVE"], 16, 60),  # the proxies let go after 15; granian takes 60 at most
        _whole("GRACE", want["GRACE"], 1, 3600),
    )


def attached_networks(routes: str = "/proc/net/route") -> list[str]:
    """The IPv4 networks this container is attached to, as CIDR: where its proxies are, and nobody else."""
    networks = set()
    for line in Path(routes).read_text().splitlines()[1:]:
        destination, mask = (socket.inet_ntoa(struct.pack("<L", int(line.split()[i], 16))) for i in (1, 7))
        if destination != "0.0.0.0":
            networks.add(str(IPv4Network(f"{destination}/{mask}")))
    return sorted(networks)


def main() -> None:
    """Becomes the server: replaces this process by the script, with every setting in its environment."""
    try:
        choice = choose(os.environ)
    except SettingsError as error:
        sys.exit(f"serve: {error}")
    if choice.base != os.environ.get("APP_BASE", "app"):  # it would not start, or not stop: the signal is the image's
        sys.exit(f"serve: SERVER={choice.SERVER} is not for this image: build the one with APP_BASE={choice.base}")
    os.environ.update(choice.environment())
    if not os.environ.get("FORWARDED_ALLOW_IPS"):
        os.environ["FORWARDED_ALLOW_IPS"] = ",".join(attached_networks())
    print(f"serve: {choice.SERVER} · {choice.INTERFACE} · {choice.APP} · {choice.WORKERS} worker(s)", flush=True)
    os.execv("/bin/sh", ["sh", str(choice.script)])


if __name__ == "__main__":
    main()
