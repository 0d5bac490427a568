"""The ports that the stack publishes on this host, and whether they are free."""

import errno
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stack import Problem, engine
from stack.compose import Compose

HTTP, HTTPS = 8080, 8443  # where every proxy listens inside its container


class Port(NamedTuple):
    """A published port: where a client connects, and what it reaches."""

    service: str
    host: str
    number: int
    inside: int
    protocol: str

    @property
    def setting(self) -> str:
        """The setting that chooses the number."""
        return f"{self.service.upper()}_{'HTTP' if self.inside == HTTP else 'HTTPS'}_PORT"

    @property
    def reached_at(self) -> str:
        """The address at which this host reaches the port."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)


def list_sites(compose: Compose) -> list[Port]:
    """The ports over which a client reaches the site by TLS over TCP, one a proxy."""
    return [port for port in list_ports(compose) if (port.inside, port.protocol) == (HTTPS, "tcp")]


def list_ports(compose: Compose) -> list[Port]:
    """Every port that the configuration publishes."""
    return [
        Port(name, port.get("host_ip", "0.0.0.0"), int(port["published"]), port["target"], port["protocol"])
        for name, service in compose.services.items()
        for port in service.get("ports", [])
        if port.get("published", "").isdigit()  # a service of the user's may leave the choice to the engine
    ]


def published_number(compose: Compose, service: str, inside: int) -> int:
    """The port on this host that leads to a service's TCP port `inside`."""
    return next(port.number for port in list_ports(compose) if (port.service, port.inside) == (service, inside))


def list_own_ports(compose: Compose) -> set[tuple[int, str]]:
    """The ports that this project's own containers publish now, as (number, protocol)."""
    containers = compose.containers()
    if not containers:
        return set()
    template = "{{range $p, $all := .NetworkSettings.Ports}}{{range $all}}{{.HostPort}} {{$p}}{{println}}{{end}}{{end}}"
    lines = (engine.output("docker", "inspect", "--format", template, *containers) or "").splitlines()
    return {(int(line.split()[0]), line.rpartition("/")[2]) for line in lines if line}


def find_error(compose: Compose, port: Port) -> int:
    """Why a port cannot be published on this host, as an errno; 0 where it can, or where the project has it already."""
    error = try_to_bind(port) if engine.is_local() else 0
    return 0 if error == errno.EADDRINUSE and (port.number, port.protocol) in list_own_ports(compose) else error


def try_to_bind(port: Port) -> int:
    """The errno of binding the port on this host, or 0."""
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM) as probe:
        if port.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except PermissionError:
            return 0  # below 1024, where only the engine may bind
        except OSError as error:
            return error.errno or errno.EADDRINUSE
    return 0


def describe_client_range(number: int) -> str:
    """Where a port is in the kernel's range for clients: that any program may get its number for a moment."""
    file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first, last = map(int, file.read_text().split()) if file.is_file() else (0, -1)
    if not first <= number <= last:
        return ""
    return f" outside {first}-{last}, because the kernel gives these to outgoing connections"


def check_ports(compose: Compose, proxies: Iterable[str]) -> None:
    """Raises `Problem` where a port that is to be published cannot be."""
    settings: dict[tuple[int, str], str] = {}
    ports = [port for port in list_ports(compose) if port.service in proxies]
    for port in ports:
        if (other := settings.setdefault((port.number, port.protocol), port.setting)) != port.setting:
            raise Problem(f"{other} and {port.setting} are both {port.number}: give them different ports")
    errors = {port: error for port in ports if (error := try_to_bind(port))} if engine.is_local() else {}
    own_ports = list_own_ports(compose) if errors else set()
    for port, error in errors.items():
        if error == errno.EADDRNOTAVAIL:
            raise Problem(f"BIND={port.host} is not an address of this machine")
        if error != errno.EADDRINUSE or (port.number, port.protocol) not in own_ports:
            raise Problem(
                f"port {port.number} ({port.service}, {port.protocol}) on {port.host} is in use: "
                f"free it, or set {port.setting} to another{describe_client_range(port.number)}"
            )
