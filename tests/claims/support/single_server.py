"""One application server without a proxy: requests to it, its processes, signals, state and log."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from apps import contract
from tests.claims.support import containers
from tests.claims.support.http_client import Target, send_gets
from tests.claims.support.processes import READ_CPU, READ_PROC, ServerProcesses, parse_proc, parse_top
from tests.support.engine import address_in, exec_in, inspect, read_logs, send_signal, stop

T = TypeVar("T")
PORT = 8000
# Runs inside a container without a network: one GET, as soon as the server listens.
GET_INSIDE = """
import http.client, json, sys, time
for attempt in range(300):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
        connection.request("GET", sys.argv[1])
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
answer = connection.getresponse()
print(json.dumps([answer.status, answer.headers["content-type"], answer.read().decode()]))
"""


@dataclass
class SingleServer:
    """One running container: of a server, or of a script that serves."""

    container: str
    server: str = ""
    interface: str = ""
    workers: int = 1

    @property
    def name(self) -> str:
        """The server and its interface."""
        return f"{self.server} {self.interface}"

    @property
    def target(self) -> Target:
        """Where a client connects now. A restart may change the address."""
        return Target(address_in(self.container, "bridge"))

    @cached_property
    def address(self) -> str:
        """The address, read once, so that a client that measures time does not wait for the engine."""
        return self.target.host

    def connection(self, timeout: float = 20) -> http.client.HTTPConnection:
        """A new connection to the server."""
        return http.client.HTTPConnection(self.address, PORT, timeout=timeout)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, chunked: bool = False
    ) -> contract.Answer:
        """Sends one request on a connection of its own."""
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

    def get(self, path: str) -> contract.Answer:
        """Sends one GET."""
        return self.request("GET", path)

    def send(self, check: contract.Check) -> contract.Answer:
        """The client that the contract needs."""
        with closing(self.connection()) as connection:
            return contract.send_over(connection, check)

    def raw(self, request: bytes) -> bytes:
        """Sends these bytes; all that comes back until the server closes, or is silent for five seconds."""
        answer = b""
        with socket.create_connection((self.address, PORT), timeout=5) as connection:
            connection.sendall(request)
            with suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer

    def status(self, request: bytes) -> int:
        """Sends these bytes; the status of the answer."""
        with socket.create_connection((self.address, PORT), timeout=20) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                line = answer.readline()
        assert line.endswith(b"\r\n"), f"closed after {line!r}"
        return int(line.split(b" ", 2)[1])

    def get_inside(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body of a GET from inside the container, as soon as the server listens."""
        status, kind, body = json.loads(exec_in(self.container, "python3", "-c", GET_INSIDE, path))
        return status, kind, body

    def is_answering(self) -> bool:
        """Whether the server answers a request at all."""
        connection = self.connection(timeout=5)
        try:
            connection.request("GET", "/live")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        else:
            return True
        finally:
            connection.close()

    def wait_for_workers(self, seconds: float = 60) -> "SingleServer":
        """Waits until every worker has answered."""
        until = time.monotonic() + seconds
        pids = set[int]()
        while time.monotonic() < until:
            answers = send_gets(self.target, "/process", 8, keep_alive=False, requests=16)
            pids |= {answer.pid for answer in answers if answer.pid}
            if len(pids) >= self.workers:
                return self
            time.sleep(0.2)
        raise AssertionError(f"{self.name}: {len(pids)} of {self.workers} workers answered: {self.logs()[-2000:]}")

    def read_processes(self) -> ServerProcesses:
        """The processes as /proc in the container shows them, with the sockets that they hold."""
        status, output, errors = containers.exec_separately(self.container, "python3", "-c", READ_PROC)
        assert status == 0, errors
        return parse_proc(output)

    def list_processes(self) -> ServerProcesses:
        """The processes as the host sees them, with pids of the host. Nothing runs in the container for this."""
        return parse_top(containers.list_processes(self.container))

    def read_cpu(self) -> float:
        """The CPU seconds of all its processes, ended processes included."""
        return float(exec_in(self.container, "python3", "-c", READ_CPU))

    def send_signal(self, name: str) -> None:
        """Sends a signal as Docker does: to the container's init."""
        send_signal(self.container, name)

    def kill(self, pid: int, name: str) -> None:
        """Sends a signal to one of its processes, past the container's init."""
        script = f"import os, signal; os.kill({pid}, signal.SIG{name})"
        # The exit status says nothing: the container may end with the signal.
        output = exec_in(self.container, "python3", "-c", script, check=False)
        assert not output, output

    def stop(self, seconds: int = 30) -> None:
        """Stops the container as `docker stop` does: SIGTERM, and SIGKILL after `seconds`."""
        stop(self.container, seconds)

    def state(self) -> str:
        """`running`, or `exited` and the exit code."""
        state = inspect(self.container)["State"]
        return state["Status"] if state["Running"] else f"{state['Status']} {state['ExitCode']}"

    def logs(self) -> str:
        """What the container printed, both streams."""
        return read_logs(self.container)


def measure_side_by_side(measure: Callable[[SingleServer], T], servers: list[SingleServer], width: int = 6) -> list[T]:
    """Measures several servers at a time, at most `width`. Only for measurements that mostly wait."""
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(measure, servers))
