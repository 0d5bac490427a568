"""Waits until the parts of a stack are ready: containers by their health checks, proxies by a request to the app."""

import http.client
import io
import json
import socket
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache

from stack import Problem, dotenv, progress
from stack.compose import LABEL, Compose
from stack.ports import HTTPS, Port, list_ports
from stack.waiting import wait_until

READY_SECONDS = 60
PAUSE = 0.2  # seconds between two checks: each starts a process in the container


def read_start_timeout(compose: Compose) -> float:
    """The seconds within which a new container must be ready: START_TIMEOUT."""
    return float(dotenv.overlay(compose.environment).get("START_TIMEOUT", READY_SECONDS))


def wait_for_containers(compose: Compose, containers: Iterable[str], seconds: float | None = None) -> None:
    """Waits until the health check of every container passes; `Problem`, with the log, where one does not.

    This runs the check itself, because Docker runs it only every ten seconds.
    """
    for container in containers:
        config = json.loads(compose.inspect(container, "{{json .Config}}"))
        name, check = config["Labels"][f"{LABEL}.service"], config["Healthcheck"]["Test"][1:]

        def find_fault(command: tuple[str, ...] = ("docker", "exec", container, *check)) -> str:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]

        fault = wait_without_fault(compose, container, f"the {name}", find_fault, seconds)
        if fault:
            limit = f"{read_start_timeout(compose) if seconds is None else seconds:g}"
            raise Problem(
                f"the {name} was not ready within {limit} s ({fault}): its log is above; START_TIMEOUT sets the seconds"
            )


def wait_for_proxies(
    compose: Compose, proxies: Iterable[str], authority: str = "", seconds: float | None = None
) -> None:
    """Waits until a request gets through each proxy to the app and back, over verified TLS; else `Problem`.

    `authority`: the certificate (PEM) of an authority to trust besides the host's.
    """
    ports = [
        port
        for port in list_ports(compose)
        if port.service in proxies and (port.inside, port.protocol) == (HTTPS, "tcp")
    ]
    path = compose.services["app"]["environment"]["HEALTH_PATH"]
    name = site_name(compose)
    given_up = threading.Event()

    def wait_for_proxy(port: Port) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(port.host, port.host)
        container = next(iter(compose.containers(port.service, include_stopped=True)), "")

        def find_fault() -> str:
            status = request_status(host, port.number, name, path, authority)
            return "" if status == "200" else status

        fault = wait_without_fault(compose, container, port.service, find_fault, seconds, given_up)
        if fault:
            raise Problem(f"https://{name}:{port.number}{path} through {port.service} says: {fault}; its log is above")

    with ThreadPoolExecutor(max(1, len(ports))) as pool:
        try:
            for wait in as_completed([pool.submit(wait_for_proxy, port) for port in ports]):
                wait.result()
        except BaseException:  # the first proxy that fails, or an interruption, ends the other waits too
            given_up.set()
            raise


def wait_without_fault(
    compose: Compose,
    container: str,
    name: str,
    find_fault: Callable[[], str],
    seconds: float | None,
    given_up: threading.Event | None = None,
) -> str:
    """Waits until `find_fault()` returns "", which means ready. Returns its last answer, and shows the log of a fault.

    Docker restarts a container that ended by itself. Such a restart raises `Problem` at once. `given_up`: nobody waits
    any longer, so this ends without a fault.
    """
    template = "{{.State.Restarting}} {{.RestartCount}}"
    before = compose.inspect(container, template).split()[1:]  # a restart of last week says nothing

    def has_restarted() -> bool:
        is_restarting, *count = compose.inspect(container, template).split() or [""]
        return is_restarting == "true" or (bool(count) and count != before)

    faults = []

    def find_end() -> tuple[str, bool] | None:
        fault = "" if given_up and given_up.is_set() else find_fault()
        if not fault:
            return "", False
        faults.append(fault)
        return (fault, True) if has_restarted() else None

    end = wait_until(find_end, read_start_timeout(compose) if seconds is None else seconds, PAUSE)
    fault, restarted = end or (faults[-1], False)
    if fault:
        progress.show(compose.logs(container))
    if fault and restarted:
        raise Problem(f"{name} does not stay up: its log is above")
    return fault


def read_authority(compose: Compose) -> str:
    """The certificate of the stack's local authority (PEM); "" where the site has a certificate of its own."""
    container = next(iter(compose.containers("certs", include_stopped=True)), None)
    if not container:
        return ""
    copied = subprocess.run(["docker", "cp", f"{container}:/certs/ca.pem", "-"], capture_output=True, check=False)
    if copied.returncode != 0:
        return ""
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as archive:
        return archive.extractfile("ca.pem").read().decode()  # type: ignore[union-attr]


def site_name(compose: Compose) -> str:
    """The first name of the site."""
    return compose.services["certs"]["environment"]["DOMAIN"].split()[0]


@cache
def make_context(authority: str) -> ssl.SSLContext:
    """Verifies certificates by the host's authorities and by `authority` (PEM). Reading the host's takes a while."""
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


def request_status(host: str, port: int, name: str, path: str, authority: str) -> str:
    """The status of one GET over TLS, or the error in words. `authority`: a certificate to trust besides the host's."""
    context = make_context(authority)
    connection = http.client.HTTPSConnection(name, port, timeout=5)
    try:
        plain = socket.create_connection((host, port), timeout=5)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        connection.request("GET", path, headers={"Host": f"{name}:{port}"})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or repr(error)
    finally:
        connection.close()
