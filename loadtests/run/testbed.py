"""The stack under measurement: a project of its own, the generator beside it, each on cores of its own."""

import contextlib
import json
import os
import resource
import ssl
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

from apps import serve
from loadtests.run import engine_counters
from loadtests.run.machine_speed import Gauge
from stack import CHECKOUT, Problem, images
from stack.compose import Compose
from stack.running_stack import RunningStack

FILES = "compose.yaml:loadtests/run/compose.yaml"
HTTPS = 8443
BUSY, STOLEN = (0, 1, 2, 5, 6, 7), (7,)  # columns of /proc/stat: all but idle and waiting; taken by the hypervisor
KERNEL = 2  # the parent of the kernel's own threads
ALONE = 8444  # where the proxies answer by themselves: baseline/
STOCK = "-stock"  # these find the application's address once, when they start


def placement(cores: list[int]) -> tuple[list[int], list[int]]:
    """The stack's cores and the generator's, of those that this process may use: half each, the odd one the stack's."""
    if len(cores) < 2:
        return cores, cores
    half = len(cores) - len(cores) // 2
    return cores[:half], cores[half:]


class Agent:
    """One generator process in the generator's container, on one core: see agent.py."""

    def __init__(self, container: str, core: int) -> None:
        command = [
            "docker",
            "exec",
            "-i",
            container,
            "taskset",
            "-c",
            str(core),
            "python3",
            "-m",
            "loadtests.generator.agent",
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told, self.said = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def ask(self, **wanted: Any) -> None:
        """Sends a command."""
        self.told.write(json.dumps(wanted) + "\n")
        self.told.flush()

    def answer(self) -> dict[str, Any]:
        """What came of it."""
        line = self.said.readline()
        if not line:
            raise Problem("the generator ended: its container has the reason")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.communicate()


class Testbed(RunningStack):
    """Proxies and one app at a time; `serve` puts another in its place, at once."""

    def __init__(
        self, proxies: list[str], bases: Iterable[str] = ("app",), dearer: Mapping[str, int] | None = None
    ) -> None:
        self.stack, self.generator = placement(sorted(os.sched_getaffinity(0)))
        self.parts, self.dearer = [one for one in proxies if not one.endswith(STOCK)], dearer or {}
        self.stock = [one for one in proxies if one.endswith(STOCK)]
        images_of = list(dict.fromkeys(one.removesuffix(STOCK) for one in proxies))
        cpus = {"STACK_CPUS": ",".join(map(str, self.stack)), "LOAD_CPUS": ",".join(map(str, self.generator))}
        mine = {
            "COMPOSE_PROJECT_NAME": CHECKOUT.replace("stack-", "stack-bench-"),
            "IMAGES": CHECKOUT,
            "COMPOSE_FILE": FILES,
        }
        limits = {"ADMIN_USER": "", "LOGIN_RATE": "999999", "COMPOSE_ENV_FILES": "/dev/null"}
        super().__init__(Compose(mine | cpus | images.ensure(images_of) | limits))
        self.built, self.bases = [*images_of, "load"], sorted(bases)
        self.agents: list[Agent] = []
        self.gauges: list[Gauge] = []

    def start_all(self) -> None:
        """Builds what changed, and starts the proxies and the generator."""
        if self.compose.exists():  # of a run that was killed
            self.remove()
        self.build(self.built, self.bases)
        self.make_certificates()
        self.start("load", *self.parts)
        self.agents = [Agent(self.container("load"), core) for core in self.generator]
        self.gauges = [Gauge(core) for core in self.stack]

    def stop(self) -> None:
        """Removes everything that the stand made."""
        for agent in self.agents:
            agent.close()
        for gauge in self.gauges:
            gauge.close()
        self.undo(kill=True)

    @cached_property
    def proxies(self) -> dict[str, str]:
        """The proxies' containers."""
        return {name: self.container(name) for name in [*self.parts, *self.stock]}

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """Verifies the proxies' certificates."""
        return ssl.create_default_context(cadata=self.read_authority())

    def serve(self, server: str, interface: str, app: str, workers: int, threads: int) -> None:
        """A fresh app container in place of the last; ready when it answers by itself."""
        base = serve.choose({"SERVER": server, "INTERFACE": interface}).base
        choice = {"SERVER": server, "INTERFACE": interface, "APP": app, "APP_BASE": base}
        if extra := self.dearer.get(f"{server}/{interface}"):
            choice |= {"APP": "dearer", "DEARER": str(extra)}
        self.change(choice | {"WORKERS": str(workers), "THREADS": str(threads)})
        self.replace_app()
        self.app = self.container("app")
        if self.stock:  # they look the application up once
            self.start(*self.stock, recreate=True)
            self.__dict__.pop("proxies", None)

    def ended(self, part: str) -> bool:
        """Whether a container has ended; it is not started again by itself."""
        return engine_counters.ended(self.app if part == "app" else self.proxies[part])

    def url(self, proxy: str, alone: bool = False) -> str:
        """Where the generator asks; `alone`: for the proxy's own answer."""
        return f"https://{proxy}:{ALONE if alone else HTTPS}" if proxy != "direct" else "http://app:8000"

    def load(self, **wanted: Any) -> dict[str, Any]:
        """What generators and gauges together measure of one command; `failed` where a generator could not."""
        share = len(self.agents)
        each = wanted | {"clients": max(1, wanted["clients"] // share), "rate": wanted.get("rate", 0) / share}
        for gauge in self.gauges:
            gauge.read()
        for agent in self.agents:
            agent.ask(**each)
        found = merged([agent.answer() for agent in self.agents])
        return found | {"probe_time": round(statistics.fmean(gauge.read()[0] for gauge in self.gauges), 2)}


def merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Several generators' answers as one. Percentiles are those of the slowest: no mean of percentiles is one."""
    if failed := next((one["failed"] for one in answers if "failed" in one), ""):
        return {"failed": failed}
    errors: dict[str, int] = {}
    for one in answers:
        for what, count in one["errors"].items():
            errors[what] = errors.get(what, 0) + count
    times: Counter[str] = Counter()
    for one in answers:
        times.update(one.get("times", {}))
    names = {name for one in answers for name in one["latency"]}
    return {
        "seconds": max(one["seconds"] for one in answers),
        "requests": sum(one["requests"] for one in answers),
        "generator": sum(one["generator"] for one in answers),
        "errors": errors,
        "latency": {name: max(one["latency"].get(name, 0) for one in answers) for name in names},
        **({"times": times} if times else {}),
        **({"corrected": True} if "corrected" in answers[0] else {}),
        **({"clients": sum(one["clients"] for one in answers)} if "clients" in answers[0] else {}),
    }


class Counters:
    """CPU seconds and memory of some containers, of the engine, and of the stand's cores, at one moment."""

    def __init__(self, containers: dict[str, str], testbed: Testbed) -> None:
        self.at = time.monotonic()
        self.generator = core_seconds(testbed.generator, BUSY)
        self.stolen = core_seconds([*testbed.stack, *testbed.generator], STOLEN)
        self.engine, self.processes = process_seconds()
        self.bench = own_seconds() + sum(gauge.read()[1] for gauge in testbed.gauges)
        # Engine 20.10 answers once a second: asked at once, all have the same moment.
        with ThreadPoolExecutor(len(containers)) as pool:
            self.stats = dict(zip(containers, pool.map(engine_counters.stats, containers.values()), strict=True))

    def cpu(self, name: str) -> float:
        """CPU seconds so far."""
        return self.stats[name]["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9

    def memory(self, name: str) -> int:
        """Bytes in use, without the page cache that the kernel can take back."""
        memory = self.stats[name]["memory_stats"]
        details = memory.get("stats", {})
        return memory.get("usage", 0) - details.get("total_inactive_file", details.get("inactive_file", 0))

    def peak(self, name: str) -> int:
        """The most bytes in use so far, page cache included; where the engine does not say (cgroup v2), those now."""
        return max(self.stats[name]["memory_stats"].get("max_usage", 0), self.memory(name))

    def throttled(self, name: str) -> int:
        """In how many periods the kernel held the container back."""
        return self.stats[name]["cpu_stats"].get("throttling_data", {}).get("throttled_periods", 0)


def core_seconds(cores: list[int], kinds: tuple[int, ...]) -> float:
    """Seconds that some cores have spent in some ways so far, by the columns of /proc/stat (man 5 proc)."""
    ticks, wanted = 0, {f"cpu{core}" for core in cores}
    with open("/proc/stat") as file:  # noqa: PTH123 - read in one go
        for line in file:
            name, *fields = line.split()
            if name in wanted:
                ticks += sum(int(fields[kind]) for kind in kinds)
    return ticks / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU seconds of this process so far, and of those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def process_seconds() -> tuple[float, float]:
    """CPU seconds so far of the engine, which keeps the logs, and of all processes but it and the kernel's.

    In ticks of 10 ms; 0 where they are out of sight. What ended is its parent's. The kernel's own threads, and what it
    does between two processes, are nobody else's work: most of it is the network of the stack itself.
    """
    engine = rest = 0
    for one in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, told = one.read_text().partition(" (")
            name, _, fields = told.rpartition(") ")
            parent, times = int(fields.split()[1]), list(map(int, fields.split()[11:15]))
            if name.startswith(("dockerd", "containerd")):
                engine += sum(times[:2])
            elif parent != KERNEL and int(number) != KERNEL and not name.startswith(("docker", "runc")):
                rest += sum(times)
    return engine / os.sysconf("SC_CLK_TCK"), rest / os.sysconf("SC_CLK_TCK")
