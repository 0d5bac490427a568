#!/usr/bin/env python3
"""Chooses the server script that the settings name, and becomes that server.

The folders are the list of what exists: `servers/<interface>/<server>.sh` and `<interface>/<app>.py`. `make up` calls
`choose` on the host, so a wrong name is refused before a build. The container calls `choose` too, so plain
`docker compose up` refuses the same names. Standard library only.

An own application (`module:attribute`) is imported once before the server starts. So its interface is known, and where
it cannot be imported, the container ends at once with the reason.
"""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from ipaddress import IPv4Network
from pathlib import Path
from platform import python_version
from typing import Literal
from urllib.parse import quote

from . import container, load

HERE = Path(__file__).resolve().parent
SERVERS, DEMONSTRATIONS = HERE.parent / "servers", HERE.parent
INTERFACES = ("asgi", "wsgi")
AUTO: Literal["auto"] = "auto"
SECRETS = "/run/secrets/"
INTERFACE_FILE = Path("/tmp/interface")  # noqa: S108 - the container's own, which no other user writes


class SettingsError(ValueError):
    """A setting that is not valid. The message names the valid values."""


@dataclass(frozen=True)
class Choice:
    """Valid settings, as `choose` makes them. KEEPALIVE and GRACE are in seconds.

    The values are the defaults. INTERFACE has none, because it follows from SERVER and APP. It stays empty where only
    the container can tell: for an own application on a server with both. `auto` workers are counted in the container,
    because its limits are known there.
    """

    SERVER: str = "granian"
    INTERFACE: str = ""
    APP: str = "bare"
    WORKERS: int | Literal["auto"] = 2
    THREADS: int = 8
    KEEPALIVE: int = 30
    GRACE: int = 20

    @property
    def script(self) -> Path:
        """The file that starts the server."""
        return SERVERS / self.INTERFACE / f"{self.SERVER}.sh"

    @property
    def is_own(self) -> bool:
        """Whether the application is the user's own, and no demonstration."""
        return is_own(self.APP)

    @property
    def base(self) -> str:
        """The base of the image that can run the server: `APP_BASE` in apps/Dockerfile."""
        return next(facts(script).get("base", "app") for script in SERVERS.glob(f"*/{self.SERVER}.sh"))

    def estimate_pids(self, workers: int) -> int:
        """The processes and threads that the server can have at the same time. THREADS is for WSGI."""
        return container.estimate_pids(workers, 0 if self.INTERFACE == "asgi" else self.THREADS)

    def environment(self) -> dict[str, str]:
        """The settings as the environment that a server script reads."""
        return {name: str(value) for name, value in asdict(self).items()}


DEFAULTS = {field.name: str(field.default) for field in fields(Choice) if field.default != ""}


def is_own(app: str) -> bool:
    """Whether APP is `module:attribute` of the user's own, and not the name of a demonstration."""
    return ":" in app


def list_names(folder: Path, suffix: str) -> list[str]:
    """The names of the scripts or applications in a folder."""
    return sorted(path.stem for path in folder.glob(f"*{suffix}") if not path.stem.startswith("_"))


def servers() -> dict[str, list[str]]:
    """The interfaces of every server, by the server's name."""
    interfaces: dict[str, list[str]] = {}
    for interface in INTERFACES:
        for name in list_names(SERVERS / interface, ".sh"):
            interfaces.setdefault(name, []).append(interface)
    return dict(sorted(interfaces.items()))


def pairs() -> list[tuple[str, str]]:
    """Every server with each of its interfaces."""
    return [(server, interface) for server, interfaces in servers().items() for interface in interfaces]


def apps(interface: str) -> list[str]:
    """The applications of one interface."""
    return list_names(DEMONSTRATIONS / interface, ".py")


def facts(script: Path) -> dict[str, str]:
    """The lines `# Name: value` of a script, by lower-case name. `title` is the first comment line."""
    lines = [line[2:] for line in script.read_text().splitlines() if line.startswith("# ")]
    pairs = (line.partition(": ") for line in lines[1:])
    return {"title": lines[0] if lines else ""} | {
        name.lower(): value for name, mark, value in pairs if mark and name.isalpha()
    }


def bases() -> list[str]:
    """The bases of the images of all servers: `# Base:` in their scripts."""
    return sorted({facts(script).get("base", "app") for script in SERVERS.glob("*/*.sh")})


def version(server: str) -> str:
    """The release of the server's package. wsgiref has no package, so its release is Python's."""
    try:
        return metadata.version(server.split("-")[0])
    except metadata.PackageNotFoundError:
        return python_version()


def _read_number(settings: Mapping[str, str], name: str, smallest: int, largest: int, more: str = "") -> int:
    value = settings.get(name, DEFAULTS[name])
    if not (value.isascii() and value.isdigit() and len(value) < 9 and smallest <= int(value) <= largest):
        allowed = f"a whole number from {smallest} to {largest}{more}"
        raise SettingsError(f"{name}={value} is not a number that can be used: give {allowed}")
    return int(value)


def _read_name(settings: Mapping[str, str], name: str, allowed: list[str], description: str) -> str:
    value = settings.get(name) or DEFAULTS[name]
    if value not in allowed:
        raise SettingsError(f"{name}={value} is not {description}: choose {', '.join(allowed)}")
    return value


def _choose_application(settings: Mapping[str, str], server: str) -> tuple[str, str]:
    """The interface and the application. By default the interface is the first one with that application."""
    interfaces = servers()[server]
    if is_own(app := settings.get("APP", "")):
        if "INTERFACE" not in settings:
            return "", app
        return _read_name(settings, "INTERFACE", interfaces, f"an interface of {server} here"), app
    if "INTERFACE" in settings:
        interface = _read_name(settings, "INTERFACE", list(INTERFACES), "an interface")
        _read_name(settings, "INTERFACE", interfaces, f"one that {server} serves here")
        return interface, _read_name(settings, "APP", apps(interface), f"an {interface} application here")
    choices = sorted({app for interface in interfaces for app in apps(interface)})
    app = _read_name(settings, "APP", choices, f"an application for {server} here")
    return next(interface for interface in interfaces if app in apps(interface)), app


def _choose_workers(settings: Mapping[str, str], server: str, interface: str) -> int | Literal["auto"]:
    """The number of workers: one for a server that is one process."""
    is_auto = settings.get("WORKERS") == AUTO
    workers = AUTO if is_auto else _read_number(settings, "WORKERS", 1, 256, f", or {AUTO}")
    scripts = SERVERS.glob(f"{interface or '*'}/{server}.sh")
    if not all(facts(script).get("workers", "").startswith("one") for script in scripts):
        return workers
    if "WORKERS" in settings and workers not in (1, AUTO):
        raise SettingsError(
            f"WORKERS={workers} cannot be: {server} is one process ({interface}); leave WORKERS out, "
            "or run more containers"
        )
    return 1


def choose(environ: Mapping[str, str]) -> Choice:
    """Valid settings from `environ`. Empty ones get their default. `SettingsError` where one is not valid."""
    settings = {name: value for name, value in environ.items() if value.strip()}
    server = _read_name(settings, "SERVER", list(servers()), "a server here")
    interface, app = _choose_application(settings, server)
    return Choice(
        server,
        interface,
        app,
        _choose_workers(settings, server, interface),
        _read_number(settings, "THREADS", 1, 1024),
        # The proxies close an idle connection after 15 s, so the server must wait longer. Granian's maximum is 60.
        _read_number(settings, "KEEPALIVE", 16, 60),
        _read_number(settings, "GRACE", 1, 3600),
    )


def attached_networks(routes: str = "/proc/net/route") -> list[str]:
    """The IPv4 networks of this container, as CIDR. The proxies are in these networks, and clients are not."""
    networks = set()
    for line in Path(routes).read_text().splitlines()[1:]:
        destination, mask = (socket.inet_ntoa(struct.pack("<L", int(line.split()[i], 16))) for i in (1, 7))
        if destination != "0.0.0.0":
            networks.add(str(IPv4Network(f"{destination}/{mask}")))
    return sorted(networks)


def check_pids(choice: Choice, workers: int, limit: int | None) -> None:
    """Refuses workers and threads that the limit of processes and threads would fail one request at a time."""
    need = choice.estimate_pids(workers)
    if limit is not None and need > limit:
        raise SettingsError(
            f"WORKERS={workers} and THREADS={choice.THREADS} need about {need} processes and threads, and "
            f"APP_PIDS={limit} allows fewer: raise APP_PIDS, or give fewer workers or threads"
        )


def read_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values are files: `SECRET_KEY_FILE=/run/secrets/secret_key` gives SECRET_KEY.

    Only files below /run/secrets count, where Compose mounts secrets. Other names end in _FILE too (SSL_CERT_FILE).
    """
    secrets = {}
    for variable, file in environ.items():
        name = variable.removesuffix("_FILE")
        if name == variable or not file.startswith(SECRETS) or environ.get(name):
            continue
        try:
            secrets[name] = Path(file).read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}={file} cannot be read by user {os.getuid()}: {error}") from None
    return secrets


def find_database(environ: Mapping[str, str]) -> dict[str, str]:
    """DATABASE_URL from PostgreSQL's own variables, where there is a password and no DATABASE_URL."""
    if environ.get("DATABASE_URL") or not environ.get("PGPASSWORD"):
        return {}
    user, password = (quote(environ[name], safe="") for name in ("PGUSER", "PGPASSWORD"))
    port = f":{environ['PGPORT']}" if environ.get("PGPORT") else ""
    return {"DATABASE_URL": f"postgresql://{user}:{password}@{environ['PGHOST']}{port}/{environ['PGDATABASE']}"}


def complete_environment() -> None:
    """Adds to this process's environment what the application gets beside the settings: secrets, and the database."""
    os.environ.update(read_secrets(os.environ))
    os.environ.update(find_database(os.environ))


def find_interface(environ: Mapping[str, str]) -> str:
    """The interface of an own application, which is imported for that; it prints why it cannot be imported."""
    command = [sys.executable, "-m", "app_runtime.load"]
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.returncode)  # the import has printed the reason
    *lines, interface = done.stdout.splitlines()
    print("".join(f"{line}\n" for line in lines), end="", flush=True)
    return interface


def choose_in_container() -> Choice:
    """The settings of this container. An own application says which interface it has."""
    choice = choose(os.environ)
    complete_environment()
    if not choice.is_own:
        return choice
    interface = find_interface(os.environ)
    if interface not in servers()[choice.SERVER]:
        able = ", ".join(server for server, interfaces in servers().items() if interface in interfaces)
        kind = f"{load.ARTICLES[interface]} {interface} application"
        raise SettingsError(f"APP={choice.APP} is {kind}, which SERVER={choice.SERVER} does not serve: choose {able}")
    return choose({**os.environ, "INTERFACE": interface})


def main() -> None:
    """Replaces this process by the server's script, with every setting in its environment."""
    try:
        choice = choose_in_container()
        workers = container.count_workers() if choice.WORKERS == AUTO else choice.WORKERS
        check_pids(choice, workers, container.read_pids_limit())
    except SettingsError as error:
        sys.exit(f"serve: {error}")
    # On the wrong base the server would not start, or would not stop gracefully: the stop signal belongs to the image.
    if choice.base != os.environ.get("APP_BASE", "app"):
        sys.exit(f"serve: SERVER={choice.SERVER} is not for this image: build the one with APP_BASE={choice.base}")
    os.environ.update(replace(choice, WORKERS=workers).environment())
    proxies = os.environ.get("FORWARDED_ALLOW_IPS") or ",".join(attached_networks())
    # A load balancer in front of the proxies is one proxy more, for servers that read X-Forwarded-For themselves. This
    # container's own health check asks like a proxy.
    peers = [proxies, *os.environ.get("TRUSTED_PROXIES", "").split(), "127.0.0.1"]
    os.environ["FORWARDED_ALLOW_IPS"] = ",".join(peers)
    with suppress(OSError):  # `make up` reads it; a container without /tmp serves as well
        INTERFACE_FILE.write_text(choice.INTERFACE)
    print(f"serve: {choice.SERVER} · {choice.INTERFACE} · {choice.APP} · {workers} worker(s)", flush=True)
    os.execv("/bin/sh", ["sh", str(choice.script)])


if __name__ == "__main__":
    main()
