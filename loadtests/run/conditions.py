"""The conditions of a run, which are the same for every cell: `machine.json`."""

import datetime
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from loadtests.run.engine_counters import run_in
from loadtests.run.run_folder import RunFolder
from loadtests.run.testbed import GENERATOR, Testbed
from loadtests.run.variables import VARIABLES
from loadtests.run.windows import WARM_UP_SECONDS
from stack import ROOT, Problem, engine
from tools import docs

# What the application's images have by name; the lock files have the releases.
REQUIREMENTS = ("requirements/app.in", "requirements/mod_wsgi.in")
FIXED = ("cores", "cpu", "kernel", "engine", "images", "versions", "placement")  # a run has one of each


def write(run: RunFolder, testbed: Testbed) -> None:
    """Writes the conditions; `Problem` where a run would go on under other conditions than it began."""
    file, now = run.path / "machine.json", describe(run, testbed)
    if file.is_file():
        before = json.loads(file.read_text())
        for name in FIXED:
            if before.get(name) != now[name]:
                raise Problem(f"RUN={run.name} began under another {name}: begin a new run, and compare")
        now |= {name: before[name] for name in ("date", "command", "commit")}
    file.write_text(json.dumps(now, indent=1) + "\n")


def describe(run: RunFolder, testbed: Testbed) -> dict[str, Any]:
    """What is the same for every window. Memory is in bytes."""
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name in VARIABLES and value]
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    tags = dict.fromkeys(testbed.compose.services[name]["image"] for name in ("app", *testbed.built))
    return {
        "run": run.name,
        "plan": run.plan.name,
        "command": " ".join(["make bench", *variables]),
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "cores": os.cpu_count(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "memory": int(memory[1]) * 1024 if memory else 0,
        "kernel": platform.release(),
        "engine": engine.describe(),
        "images": {tag.rpartition("-")[2]: testbed.compose.inspect(tag, "{{.Id}}") for tag in tags},
        "versions": read_versions(testbed),
        "parity": {
            "access log": "the proxies', as JSON; the servers' off",
            "TLS": "from the generator to the proxies, over HTTP/1.1; none between proxy and app, nor direct",
            "keep-alive": "as the scenario says; servers 30 s, proxies 15 s",
            "proxy headers": "set by the proxies, read by the gateway of every application",
            "each window": (
                f"after {WARM_UP_SECONDS} s of warm-up on each route; the engine's counters are read between windows"
            ),
        },
        "placement": {"stack": testbed.stack_cores, "generator": testbed.generator_cores},
        "rounds": run.plan.rounds,
        "windows": run.plan.windows,
        "slowdown": run.plan.slowdown,
        "commit": engine.output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "",
    }


def read_versions(testbed: Testbed) -> dict[str, str]:
    """The releases of everything that takes part: servers, frameworks, and the generators' tools."""
    load = testbed.container(GENERATOR)
    tools = {
        "wrk": run_in(load, "wrk", "-v").split()[1],
        "locust": run_in(load, "python3", "-c", "import locust; print(locust.__version__)"),
    }
    names = list_requirements()
    return {name: release for name, release in docs.releases().items() if name in names} | tools


def list_requirements() -> set[str]:
    """The distributions that the application's images have by name, spelled as in the lock files."""
    lines = "\n".join((ROOT / name).read_text() for name in REQUIREMENTS)
    return {name.replace("_", "-") for name in re.findall(r"^[a-z][\w-]*", lines, re.MULTILINE)}
