"""Waits until the parts of a stack are ready: containers by their health checks, proxies by a request to the app."""

import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from stack import Problem, dotenv, engine, one_request, progress
from stack.compose import LABEL, Compose
from stack.one_request import request_status
from stack.ports import HTTPS, Port, list_sites
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
        name = config["Labels"][f"{LABEL}.service"]
        command = list_check(config)

        def find_fault(command: list[str] = command, container: str = container) -> str:
            if not command:  # it is ready when it runs, or has done its work
                state = compose.inspect(container, "{{.State.Status}} {{.State.ExitCode}}")
                return "" if state.split()[:1] == ["running"] or state == "exited 0" else state
            done = engine.run("docker", "exec", container, *command)
            return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]

        fault = wait_without_fault(compose, container, f"the {name}", find_fault, seconds)
        if fault:
            limit = f"{read_start_timeout(compose) if seconds is None else seconds:g}"
            raise Problem(
                f"the {name} was not ready within {limit} s ({fault}): its log is above; START_TIMEOUT sets the seconds"
            )


def passes_check(compose: Compose, container: str) -> bool:
    """Whether a container's health check passes now."""
    command = list_check(json.loads(compose.inspect(container, "{{json .Config}}")))
    return engine.run("docker", "exec", container, *command).returncode == 0


def list_check(config: dict[str, Any]) -> list[str]:
    """The command of a container's health check; empty where it has none, as a service of the user's may."""
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return {"CMD": words, "CMD-SHELL": ["sh", "-c", *words]}.get(kind, [])


def wait_for_proxies(
    compose: Compose, proxies: Iterable[str], authority: str = "", seconds: float | None = None
) -> None:
    """Waits until a request gets through each proxy to the app and back, over verified TLS; else `Problem`.

    `authority`: the certificate (PEM) of an authority to trust besides the host's.
    """
    ports = [port for port in list_sites(compose) if port.service in proxies]
    health_path = compose.services["app"]["environment"]["HEALTH_PATH"]
    path = health_path or "/"
    name = site_name(compose)
    is_local = engine.is_local()
    given_up = threading.Event()

    def wait_for_proxy(port: Port) -> None:
        container = next(iter(compose.containers(port.service, include_stopped=True)), "")

        def find_fault() -> str:
            if is_local:
                status = request_status(port.reached_at, port.number, name, path, authority)
            else:
                status = ask_there(compose, container, name, path, authority)
            return "" if is_healthy(status, health_path) else status

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


def is_healthy(status: str, health_path: str) -> bool:
    """Whether a status means that the application is ready: 200, or without a HEALTH_PATH anything under 500."""
    return status == "200" if health_path else status.isdigit() and int(status) < 500


def ask_there(compose: Compose, proxy: str, *words: str) -> str:
    """What one_request.py says in an app container: the ports of an engine elsewhere may not be open to us."""
    app = next(iter(compose.containers("app")), "")
    command = [
        "docker",
        "exec",
        "--interactive",
        app,
        "python3",
        "-",
        compose.address(proxy, "backend"),
        str(HTTPS),
        *words,
    ]
    script = Path(one_request.__file__).read_text()
    done = engine.run(*command, input=script)
    return done.stdout.strip() or done.stderr.strip()


def wait_without_fault(
    compose: Compose,
    container: str,
    name: str,
    find_fault: Callable[[], str],
    seconds: float | None,
    given_up: threading.Event | None = None,
) -> str:
    """Waits until `find_fault()` returns "", which means ready. Returns its last answer, and shows the log of a fault.

    Docker restarts a container that ended by itself. Such an end raises `Problem` at once, and so does a server whose
    workers end again and again. `given_up`: nobody waits any longer, so this ends without a fault.
    """
    template = "{{.State.Restarting}} {{.RestartCount}} {{.State.Status}} {{.State.Pid}}"
    before = compose.inspect(container, template).split()[1:2]  # a restart of last week says nothing
    workers = LostWorkers(container) if name == "the app" else None

    def has_ended() -> bool:
        is_restarting, *rest = compose.inspect(container, template).split() or [""]
        count, status, first = rest[:1], rest[1:2], rest[2:]
        has_restarted = is_restarting == "true" or (bool(count) and count != before)
        return has_restarted or status == ["exited"] or bool(workers and workers.count(first))

    faults = []

    def find_end() -> tuple[str, bool] | None:
        fault = "" if given_up and given_up.is_set() else find_fault()
        if not fault:
            return "", False
        faults.append(fault)
        return (fault, True) if has_ended() else None

    end = wait_until(find_end, read_start_timeout(compose) if seconds is None else seconds, PAUSE)
    fault, ended = end or (faults[-1], False)
    if fault:
        progress.show(compose.logs(container))
    if fault and ended:
        raise Problem(f"{name} does not stay up: {find_reason(compose, container)}")
    return fault


def find_reason(compose: Compose, container: str) -> str:
    """Why a container ended, in the words of apps/runtime/serve.py, which names the setting that is wrong."""
    lines = [line for line in compose.logs(container).splitlines() if line.startswith("serve: APP")]
    return lines[-1].removeprefix("serve: ") if lines else "its log is above"


class LostWorkers:
    """Counts the processes of a container that end before the container is ready.

    uvicorn starts a worker again and again whose application fails at its import. The container itself goes on. This is
    for the app only: a database's start script ends many processes before the database listens.
    """

    MOST = 6

    def __init__(self, container: str) -> None:
        self.container = container
        self.seen: set[str] = set()

    def count(self, first: list[str]) -> bool:
        """Whether too many processes have ended since the first call. `first`: the container's first process."""
        running = self.list_below(first) if first else set()
        self.seen |= running
        return len(self.seen - running) > self.MOST

    def list_below(self, first: list[str]) -> set[str]:
        """The container's first process and those below it. The commands of health checks are not below it.

        A proxy's watch-certificates.sh starts and ends commands all the time: it does not count.
        """
        top = engine.output("docker", "top", self.container, "-eo", "pid,ppid,comm")
        if not top:
            return set()
        lines = [line.split() for line in top.splitlines()[1:]]
        parents = {pid: parent for pid, parent, name, *_ in lines if not name.startswith("watch-cert")}
        below = {*first}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        return below


def read_authority(compose: Compose) -> str:
    """The certificate of the stack's local authority (PEM); "" where the site has a certificate of its own."""
    return read_file_of_certs(compose, "ca.pem")


def read_file_of_certs(compose: Compose, name: str) -> str:
    """A file of the folder or volume CERTS; "" where there is none."""
    container = next(iter(compose.containers("certs", include_stopped=True)), None)
    if not container:
        return ""
    copied = subprocess.run(["docker", "cp", f"{container}:/certs/{name}", "-"], capture_output=True, check=False)
    if copied.returncode != 0:
        return ""
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as archive:
        return archive.extractfile(name).read().decode()  # type: ignore[union-attr]


def site_name(compose: Compose) -> str:
    """The first name of the site."""
    return compose.services["certs"]["environment"]["DOMAIN"].split()[0]
