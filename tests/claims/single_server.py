"""A server by itself, without proxies: how a claim starts one, speaks to it, and sees its processes from outside."""

import asyncio
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from apps import contract, serve
from stack import ROOT, engine, images
from stack.build import build
from stack.compose import LABEL, Compose
from stack.waiting import wait_until
from tests.claims import load
from tests.support.engine import docker
from tests.support.stack import IMAGES, PREFIX, remove_leftovers, server_image

T = TypeVar("T")
# Files that can be the application: this folder's own, by interface; those that ask one thing; the documents'.
APPS = Path(__file__).parent / "apps"
PROBES = Path(__file__).parent / "probes"
EXAMPLES = ROOT / "apps/examples"
PROJECT = f"{PREFIX}-alone-{os.getpid()}"
# As compose.yaml runs the app. The second label shows `docker compose ls`, and so remove_leftovers, what a killed run left.
RUN = [
    *("run", "--detach", "--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--tmpfs", "/tmp:uid=10001,gid=10001,mode=0700,size=64m", "--sysctl", "net.ipv4.tcp_migrate_req=1"),
    *("--label", f"{LABEL}.project={PROJECT}", "--label", f"{LABEL}.config-hash=none", "--no-healthcheck"),
]
SETTINGS = {"WORKERS": "2", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20"}
# Processes that Python's multiprocessing starts for itself, and those of Apache that hold mod_wsgi's connections.
BEHIND = ("mod_wsgi", "wsgi")  # its workers are handed requests by Apache's processes, through a socket of their own
HELPERS = ("resource_tracker", "forkserver", "apache2")

LOOK = """
import json, os
def each(folder, read):
    found = []
    for name in os.listdir(folder):
        try:
            found.append(read(f"{folder}/{name}"))
        except OSError:
            pass
    return found
def seconds(thread):
    return sum(map(int, open(f"{thread}/schedstat").read().split()[:2])) / 1e9
table = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
table = [(row[3], row[9]) for row in table if row[1].endswith(":1F40")]
listening = [inode for state, inode in table if state == "0A"]
connected = [inode for state, inode in table if state == "01"]
processes = []
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    try:
        state, parent = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[:2]
        args = open(f"/proc/{pid}/cmdline").read().replace(chr(0), " ").strip()
        files = each(f"/proc/{pid}/fd", os.readlink)
        threads = each(f"/proc/{pid}/task", seconds)
    except OSError:
        continue
    held = {name[8:-1] for name in files if name.startswith("socket:")}
    processes.append({
        "pid": pid, "parent": int(parent), "state": state, "args": args,
        "threads": len(threads), "runnable": sum(threads),
        "listens": sorted(held & set(listening)), "connections": len(held & set(connected)),
        "database": sum(name.endswith(".sqlite") for name in files),
    })
print(json.dumps({"processes": processes, "sockets": sorted(listening), "waiting": connected.count("0")}))
"""

CPU = """
import os, pathlib
ticks = 0
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if int(stat.parent.name) != os.getpid():
        ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:15]))
print(ticks / os.sysconf("SC_CLK_TCK"))
"""
CLIENT = """
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


class Process(NamedTuple):
    """One process of a server: of its sockets, those on the server's port.

    `runnable` is how many seconds its threads have run or waited for a core, so what it would have used of idle ones.
    """

    pid: int
    parent: int
    state: str
    args: str
    threads: int = 0
    runnable: float = 0
    listens: tuple[str, ...] = ()
    connections: int = 0
    database: int = 0


@dataclass
class Family:
    """The main process of a server and its workers: its children, without Python's own helpers."""

    main: Process | None
    workers: list[Process]
    sockets: list[str]
    waiting: int = 0

    @property
    def pids(self) -> list[int]:
        """The workers' pids; the main process's own where it has no worker."""
        return [one.pid for one in self.workers] or ([self.main.pid] if self.main else [])


def family(processes: list[Process], sockets: list[str], waiting: int = 0) -> Family:
    """Who is who: the container's init is Docker's, its child the server's main process."""
    init = next((one.pid for one in processes if "docker-init" in one.args), 0)
    main = next((one for one in processes if init and one.parent == init), None)
    workers = [
        one
        for one in processes
        if main and one.parent == main.pid and one.state != "Z" and not any(name in one.args for name in HELPERS)
    ]
    return Family(main, workers, sockets, waiting)


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
    def target(self) -> load.Target:
        """Where a client connects now: a restart may change it."""
        return load.Target(
            docker("inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", self.container)
        )

    @cached_property
    def address(self) -> str:
        """Its address, asked for once: a client that is timed does not wait for Docker."""
        return self.target.host

    def connection(self, timeout: float = 20) -> http.client.HTTPConnection:
        """A new connection to it."""
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

    def get(self, path: str) -> contract.Answer:
        """One GET."""
        return self.request("GET", path)

    def send(self, check: contract.Check) -> contract.Answer:
        """The client as the contract wants one."""
        with closing(self.connection()) as connection:
            return contract.send_over(connection, check)

    def raw(self, request: bytes) -> bytes:
        """All that is answered to these bytes until the server closes, or is silent for five seconds."""
        answer = b""
        with socket.create_connection((self.address, 8000), timeout=5) as connection:
            connection.sendall(request)
            with suppress(TimeoutError, ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer

    def status(self, request: bytes) -> int:
        """The status that answers these bytes."""
        with socket.create_connection((self.address, 8000), timeout=20) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                line = answer.readline()
        assert line.endswith(b"\r\n"), f"closed after {line!r}"
        return int(line.split(b" ", 2)[1])

    def ask_inside(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body of a GET from inside the container, once something answers there."""
        status, kind, body = json.loads(docker("exec", self.container, "python3", "-c", CLIENT, path))
        return status, kind, body

    def answers(self) -> bool:
        """Whether it answers anything at all."""
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

    def ready(self, seconds: float = 60) -> "SingleServer":
        """Waits until every worker has answered."""
        until = time.monotonic() + seconds
        target, seen = self.target, set[int]()
        while time.monotonic() < until:
            answers = ask(target, "/process", 8, keep_alive=False, requests=16)
            seen |= {answer.pid for answer in answers if answer.pid}
            if len(seen) >= self.workers:
                return self
            time.sleep(0.2)
        raise AssertionError(f"{self.name}: {len(seen)} of {self.workers} workers answered: {self.logs()[-2000:]}")

    def look(self) -> Family:
        """Its processes as /proc in the container shows them, with the sockets they hold."""
        command = ["docker", "exec", "-i", self.container, "python3", "-"]
        done = subprocess.run(command, input=LOOK, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        processes = [Process(**one | {"listens": tuple(one["listens"])}) for one in found["processes"]]
        return family(processes, found["sockets"], found["waiting"])

    def top(self) -> Family:
        """Its processes as the host sees them (pids of the host), without running anything in the container."""
        listed = engine.output("docker", "top", self.container, "-eo", "pid,ppid,stat,args") or ""
        rows = [line.split(maxsplit=3) for line in listed.splitlines()[1:]]
        processes = [Process(int(row[0]), int(row[1]), row[2][0], row[3]) for row in rows if len(row) == 4]
        return family(sorted(processes), [])

    def cpu(self) -> float:
        """The CPU seconds that all its processes have used, with those that ended."""
        return float(docker("exec", self.container, "python3", "-c", CPU))

    def signal(self, name: str) -> None:
        """Signals it as Docker does."""
        docker("kill", "--signal", name, self.container)

    def kill(self, pid: int, name: str) -> None:
        """Signals one of its processes, past the container's init."""
        script = f"import os, signal; os.kill({pid}, signal.SIG{name})"
        said = docker("exec", self.container, "python3", "-c", script, check=False)
        assert not said, said  # the status says nothing: it is another where the container ends with the signal

    def state(self) -> str:
        """`running`, or `exited` and the exit code."""
        template = "{{.State.Status}}{{if not .State.Running}} {{.State.ExitCode}}{{end}}"
        return docker("inspect", "--format", template, self.container)

    def logs(self) -> str:
        """What it printed, both streams."""
        return docker("logs", self.container)


class SingleServers:
    """Starts servers by themselves, all under one label, and removes them."""

    def __init__(self) -> None:
        remove_leftovers()
        ours = {"COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": IMAGES}
        build(Compose(ours | images.ensure()))

    def start(
        self,
        server: str,
        interface: str,
        app: Path | str = "bare",
        flags: str = "",
        restart: str = "no",
        image: str = "",
        **settings: str,
    ) -> SingleServer:
        """Starts one, with `flags` before its script's own; `app` is one of the stack's, or any file with an `app`."""
        name = app if isinstance(app, str) else app.stem
        environment = SETTINGS | {"SERVER": server, "INTERFACE": interface, "APP": name} | settings
        if has_one_process(server, interface):
            environment["WORKERS"] = settings.get("WORKERS", "1")
        more = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        if isinstance(app, Path):
            more += ["--volume", f"{app}:/srv/apps/{interface}/{name}.py:ro,z"]
        command = []
        if flags:  # past serve.py, which would say whom to believe
            edit = f"sed 's/^exec [a-z]*/& {flags}/' /srv/apps/servers/{interface}/{server}.sh >/tmp/server.sh"
            command = ["sh", "-c", f"{edit}; exec env FORWARDED_ALLOW_IPS=127.0.0.1 sh /tmp/server.sh"]
        container = docker(*RUN, "--restart", restart, *more, image or server_image(server, interface), *command)
        return SingleServer(container, server, interface, int(environment["WORKERS"]))

    @contextmanager
    def serving(self, server: str, interface: str, app: Path | str = "bare", **settings: str) -> Iterator[SingleServer]:
        """One server, of one worker and four threads if `settings` say nothing else, from its first answer on."""
        one = self.start(server, interface, app, **{"WORKERS": "1", "THREADS": "4"} | settings)
        try:
            answers = wait_until(lambda: one.answers() or one.state() != "running", 60)
            assert answers and one.state() == "running", f"{one.name} {app}: {one.logs()[-2000:]}"
            yield one
        finally:
            self.remove(one)

    @contextmanager
    def script(self, *command: str) -> Iterator[SingleServer]:
        """A command that serves on 127.0.0.1:8000 in a container without any network: `ask_inside`."""
        one = SingleServer(docker(*RUN, "--network", "none", f"{IMAGES}-app", *command))
        try:
            yield one
        finally:
            self.remove(one)

    def remove(self, *ones: SingleServer) -> None:
        """Removes these."""
        docker("rm", "--force", "--volumes", *(one.container for one in ones), check=False)

    def stop(self) -> None:
        """Removes all that are left."""
        left = engine.output("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}.project={PROJECT}") or ""
        if left:
            docker("rm", "--force", "--volumes", *left.split(), check=False)


def with_interface(interface: str) -> list[str]:
    """Every server that has a script for this interface."""
    return [server for server, own in serve.pairs() if own == interface]


def has_one_process(server: str, interface: str) -> bool:
    """Whether the server's script says that it has no workers."""
    script = serve.HERE / "servers" / interface / f"{server}.sh"
    return serve.facts(script)["workers"].startswith("one")


def with_workers() -> list[tuple[str, str]]:
    """Every server and interface whose script takes WORKERS."""
    return [pair for pair in serve.pairs() if not has_one_process(*pair)]


def accepting() -> list[tuple[str, str]]:
    """Those of them whose workers take connections themselves; for mod_wsgi's, Apache's own do that."""
    return [(server, interface) for server, interface in with_workers() if server != BEHIND[0]]


def at_once(work: Callable[[SingleServer], T], ones: list[SingleServer], width: int = 6) -> list[T]:
    """What `work` finds of each server, some at a time: for work that mostly waits."""
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(work, ones))


def ask(target: load.Target, path: str, concurrency: int, keep_alive: bool, **bounds: Any) -> list[load.Answer]:
    """GETs from some clients at a time, within `bounds`: see load.run."""
    return asyncio.run(load.run(target, path, concurrency, keep_alive, **bounds))
