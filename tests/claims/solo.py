"""One server in a container of its own, spoken to without a proxy; any file can be the application that it serves."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps import contract, serve
from stack import ROOT
from stack.compose import LABEL
from tests import live
from tests.live import Stack

PROBES = Path(__file__).parent / "probes"
EXAMPLES = ROOT / "apps/examples"
ASGI = [server for server, interface in live.pairs() if interface == "asgi"]
ONE_PROCESS = [
    (server, interface)
    for server, interface in live.pairs()
    if serve.facts(ROOT / f"apps/servers/{interface}/{server}.sh").get("workers", "").startswith("one")
]
WSGI = [server for server, interface in live.pairs() if interface == "wsgi"]


class Solo:
    """A running container and its address."""

    def __init__(self, container: str, address: str) -> None:
        self.container = container
        self.address = address

    def connection(self, timeout: float = 20) -> http.client.HTTPConnection:
        """A new connection to the server."""
        return http.client.HTTPConnection(self.address, 8000, timeout=timeout)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, chunked: bool = False
    ) -> contract.Answer:
        """One request on a connection of its own."""
        connection = self.connection()
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            content = answer.read()
            return contract.Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, content)
        except http.client.HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> contract.Answer:
        """One GET."""
        return self.request("GET", path, headers=headers)

    def send(self, check: contract.Check) -> contract.Answer:
        """The client as the contract wants one."""
        headers = dict(check.send_headers)
        if check.chunked and check.send_body:
            whole = check.send_body
            pieces = [whole[at : at + 65536] for at in range(0, len(whole), 65536)]
            return self.request(
                check.method, check.path, iter(pieces), headers | {"Transfer-Encoding": "chunked"}, True
            )
        return self.request(check.method, check.path, check.send_body, headers)

    def raw(self, request: bytes, seconds: float = 5) -> bytes:
        """All that is answered to these bytes until the server closes, or for `seconds`."""
        answer = b""
        with socket.create_connection((self.address, 8000), timeout=seconds) as connection:
            connection.sendall(request)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer

    def status(self, request: bytes) -> int:
        """The status that answers these bytes."""
        with socket.create_connection((self.address, 8000), timeout=20) as connection:
            connection.sendall(request)
            answer = b""
            while b"\r\n" not in answer:
                piece = connection.recv(65536)
                assert piece, f"closed after {answer!r}"
                answer += piece
        return int(answer.split(b" ", 2)[1])

    def log(self) -> list[str]:
        """What the container has said, both streams, by lines."""
        return live.docker("logs", self.container).splitlines()

    def run(self, script: str) -> str:
        """What a Python script prints inside the container."""
        return live.docker("exec", self.container, "python3", "-c", script)

    def cpu(self) -> float:
        """The CPU seconds that all processes of the container have used, with those that ended."""
        return float(self.run(CPU))


CPU = """
import os, pathlib
ticks = 0
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if int(stat.parent.name) != os.getpid():
        ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:15]))
print(ticks / os.sysconf("SC_CLK_TCK"))
"""


@contextmanager
def container(stack: Stack, command: list[str], *options: str) -> Iterator[str]:
    """A container of the application's image, removed at the end; it belongs to the stack, should the run be killed."""
    label = ("--label", f"{LABEL}.project={stack.compose.project}")
    one = live.docker("run", "--detach", "--init", *label, *options, f"{live.IMAGES}-app", *command)
    try:
        yield one
    finally:
        live.docker("rm", "--force", "--volumes", one, check=False)


@contextmanager
def serving(stack: Stack, server: str, interface: str, file: Path | str = "bare", **more: str) -> Iterator[Solo]:
    """The server with one of the stack's applications, or with the `app` of any file in one's place."""
    options = []
    name = file if isinstance(file, str) else file.stem
    if isinstance(file, Path):
        options += ["--volume", f"{file}:/srv/apps/{interface}/{name}.py:ro,z"]
    settings = {"SERVER": server, "INTERFACE": interface, "APP": name, "WORKERS": "1", "THREADS": "4"} | more
    if (server, interface) in ONE_PROCESS:
        settings.pop("WORKERS")
    for key, value in settings.items():
        options += ["--env", f"{key}={value}"]
    with container(stack, ["python3", "/srv/apps/serve.py"], *options) as one:
        address = stack.compose.inspect(one, "{{.NetworkSettings.IPAddress}}")
        solo = Solo(one, address)
        until = time.monotonic() + 60
        while not answers(solo):
            assert time.monotonic() < until and stack.compose.inspect(one, "{{.State.Running}}") == "true", (
                f"{server} {interface} {name}: {solo.log()[-25:]}"
            )
            time.sleep(0.1)
        yield solo


def answers(solo: Solo) -> bool:
    """Whether the server answers anything at all."""
    connection = solo.connection(timeout=5)
    try:
        connection.request("GET", "/live")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()


@contextmanager
def script(stack: Stack, *command: str) -> Iterator[Solo]:
    """A command that serves on 127.0.0.1:8000 inside a container without any network; `run` a client there."""
    with container(stack, list(command), "--network", "none") as one:
        yield Solo(one, "")


def ask_inside(solo: Solo, path: str = "/", **headers: str) -> tuple[int, str, str]:
    """Status, content type and body of a GET from inside a container without network, once its server answers."""
    client = f"""
import http.client, json, time
for attempt in range(300):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
        connection.request("GET", {path!r}, headers={headers!r})
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
answer = connection.getresponse()
print(json.dumps([answer.status, answer.headers["content-type"], answer.read().decode()]))
"""
    status, kind, body = json.loads(solo.run(client))
    return status, kind, body
