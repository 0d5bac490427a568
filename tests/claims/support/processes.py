"""The processes of a server's container: its main process, its workers, and the sockets that they hold."""

import json
from dataclasses import dataclass
from typing import NamedTuple

# Children of a main process that are no workers: helpers of Python's multiprocessing, and Apache's own processes, which
# hold the connections of mod_wsgi's workers.
HELPERS = ("resource_tracker", "forkserver", "apache2")

# Runs inside the container. The server's port is 8000, in /proc/net/tcp `1F40`; state 0A is LISTEN, 01 is ESTABLISHED.
READ_PROC = """
import json, os
def each(folder, read):
    values = []
    for name in os.listdir(folder):
        try:
            values.append(read(f"{folder}/{name}"))
        except OSError:
            pass
    return values
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

# Runs inside the container: CPU seconds of all its processes and of their ended children, without this script's own.
READ_CPU = """
import os, pathlib
ticks = 0
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if int(stat.parent.name) != os.getpid():
        ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:15]))
print(ticks / os.sysconf("SC_CLK_TCK"))
"""


class Process(NamedTuple):
    """One process of a server. `listens` and `connections` count sockets on the server's port.

    `runnable`: seconds in which its threads ran or waited for a core. On idle cores the threads would have run so long.
    `database`: how many descriptors of a SQLite file the process holds.
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
class ServerProcesses:
    """The main process of a server and its workers, which are its children without helpers.

    `waiting`: connections that no process has accepted yet.
    """

    main: Process | None
    workers: list[Process]
    sockets: list[str]
    waiting: int = 0

    @property
    def pids(self) -> list[int]:
        """The pids of the workers; the pid of the main process where there is no worker."""
        return [worker.pid for worker in self.workers] or ([self.main.pid] if self.main else [])

    @property
    def all(self) -> list[Process]:
        """The main process, if there is one, and the workers."""
        return [*([self.main] if self.main else []), *self.workers]


def sort_processes(processes: list[Process], sockets: list[str], waiting: int = 0) -> ServerProcesses:
    """Finds the main process and its workers. Docker's init is the parent of the main process."""
    init = next((process.pid for process in processes if "docker-init" in process.args), 0)
    main = next((process for process in processes if init and process.parent == init), None)
    workers = [
        process
        for process in processes
        if main and process.parent == main.pid and process.state != "Z" and not is_helper(process)
    ]
    return ServerProcesses(main, workers, sockets, waiting)


def is_helper(process: Process) -> bool:
    """Whether a child of a main process is no worker."""
    return any(name in process.args for name in HELPERS)


def parse_proc(text: str) -> ServerProcesses:
    """The processes that READ_PROC printed."""
    table = json.loads(text)
    processes = [Process(**row | {"listens": tuple(row["listens"])}) for row in table["processes"]]
    return sort_processes(processes, table["sockets"], table["waiting"])


def parse_top(rows: list[list[str]]) -> ServerProcesses:
    """The processes that `docker top` lists: pid, parent, state and command line; without sockets."""
    processes = [Process(int(row[0]), int(row[1]), row[2][0], row[3]) for row in rows if len(row) == 4]
    return sort_processes(sorted(processes), [])
