"""A server by itself, without proxies: how a claim starts one, and what it sees of its processes from outside."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from apps import serve
from stack import ROOT, engine, images, up
from stack.compose import LABEL, Compose
from tests import live
from tests.claims import load
from tests.live import docker

T = TypeVar("T")
PROJECT = f"{live.PREFIX}-alone-{os.getpid()}"
# As compose.yaml runs the app. The second label shows `docker compose ls`, and so live.sweep, what a killed run left.
RUN = [
    *("run", "--detach", "--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--tmpfs", "/tmp:uid=10001,gid=10001,mode=0700,size=64m", "--sysctl", "net.ipv4.tcp_migrate_req=1"),
    *("--label", f"{LABEL}.project={PROJECT}", "--label", f"{LABEL}.config-hash=none", "--no-healthcheck"),
]
SETTINGS = {"WORKERS": "2", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20", "FORWARDED_ALLOW_IPS": "127.0.0.1"}
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


class Alone:
    """One running server."""

    def __init__(self, server: str, interface: str, container: str, workers: int) -> None:
        self.server, self.interface, self.container, self.workers = server, interface, container, workers
        self.name = f"{server} {interface}"

    @property
    def target(self) -> load.Target:
        """Where a client connects."""
        return load.Target(
            docker("inspect", "--format", "{{.NetworkSettings.Networks.bridge.IPAddress}}", self.container)
        )

    def look(self) -> Family:
        """Its processes as /proc in the container shows them, with the sockets they hold."""
        return look(self.container)

    def top(self) -> Family:
        """Its processes as the host sees them (pids of the host), without running anything in the container."""
        return top(self.container)

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

    def ready(self, seconds: float = 60) -> "Alone":
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


def look(container: str) -> Family:
    """The processes of a server as /proc in its container shows them."""
    done = subprocess.run(
        ["docker", "exec", "-i", container, "python3", "-"], input=LOOK, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


def parse(text: str) -> Family:
    """What LOOK printed."""
    found: dict[str, Any] = json.loads(text)
    processes = [Process(**one | {"listens": tuple(one["listens"])}) for one in found["processes"]]
    return family(processes, found["sockets"], found["waiting"])


def top(container: str) -> Family:
    """The processes of a server as the host sees them."""
    listed = engine.output("docker", "top", container, "-eo", "pid,ppid,stat,args") or ""
    rows = [line.split(maxsplit=3) for line in listed.splitlines()[1:]]
    processes = [Process(int(row[0]), int(row[1]), row[2][0], row[3]) for row in rows if len(row) == 4]
    return family(sorted(processes), [])


class Servers:
    """Starts servers by themselves, all under one label, and removes them."""

    def __init__(self) -> None:
        live.sweep()
        ours = {"COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": live.IMAGES}
        up.build(Compose(ours | images.ensure()))

    def start(
        self,
        server: str,
        interface: str,
        app: str = "bare",
        flags: str = "",
        restart: str = "no",
        image: str = "",
        **settings: str,
    ) -> Alone:
        """Starts one, with `flags` before its script's own; `app` may be one of tests/claims/apps."""
        environment = SETTINGS | {"SERVER": server, "INTERFACE": interface, "APP": app} | settings
        if has_one_process(server, interface):
            environment["WORKERS"] = settings.get("WORKERS", "1")
        more = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        own = ROOT / f"tests/claims/apps/{interface}/{app}.py"
        if own.is_file():
            more += ["--volume", f"{own}:/srv/apps/{interface}/{app}.py:ro"]
        command = []
        if flags:
            script = f"/srv/apps/servers/{interface}/{server}.sh"
            command = ["sh", "-c", f"sed 's/^exec [a-z]*/& {flags}/' {script} >/tmp/server.sh; exec sh /tmp/server.sh"]
        container = docker(*RUN, "--restart", restart, *more, image or live.image(server, interface), *command)
        return Alone(server, interface, container, int(environment["WORKERS"]))

    @contextmanager
    def run(self, server: str, interface: str, app: str = "bare", flags: str = "", **settings: str) -> Iterator[Alone]:
        """One server, from all its workers' readiness to its removal."""
        one = self.start(server, interface, app, flags, **settings)
        try:
            yield one.ready()
        finally:
            self.remove(one)

    def remove(self, *ones: Alone) -> None:
        """Removes these."""
        docker("rm", "--force", "--volumes", *(one.container for one in ones), check=False)

    def stop(self) -> None:
        """Removes all that are left."""
        left = engine.output("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}.project={PROJECT}") or ""
        if left:
            docker("rm", "--force", "--volumes", *left.split(), check=False)


def has_one_process(server: str, interface: str) -> bool:
    """Whether the server's script says that it has no workers."""
    script = serve.HERE / "servers" / interface / f"{server}.sh"
    return serve.facts(script)["workers"].startswith("one")


def with_workers() -> list[tuple[str, str]]:
    """Every server and interface whose script takes WORKERS."""
    return [pair for pair in live.pairs() if not has_one_process(*pair)]


def accepting() -> list[tuple[str, str]]:
    """Those of them whose workers take connections themselves; for mod_wsgi's, Apache's own do that."""
    return [(server, interface) for server, interface in with_workers() if server != BEHIND[0]]


def at_once(work: Callable[[Alone], T], ones: list[Alone], width: int = 6) -> list[T]:
    """What `work` finds of each server, some at a time: for work that mostly waits."""
    with ThreadPoolExecutor(width) as pool:
        return list(pool.map(work, ones))


def ask(target: load.Target, path: str, concurrency: int, keep_alive: bool, **bounds: Any) -> list[load.Answer]:
    """GETs from some clients at a time, within `bounds`: see load.run."""
    return asyncio.run(load.run(target, path, concurrency, keep_alive, **bounds))
