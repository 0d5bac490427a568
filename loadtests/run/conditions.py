"""The conditions of a run, the same for every cell: `machine.json`."""

import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from loadtests.run import plan as plans
from loadtests.run.plan import Plan
from loadtests.run.testbed import Testbed
from loadtests.run.windows import WARM_UP_SECONDS
from stack import ROOT, Problem, engine
from tools import docs

TAKING_PART = {"gunicorn", "uvicorn", "hypercorn", "granian", "daphne", "tornado", "mod-wsgi"}
TAKING_PART |= {
    "uvloop",
    "httptools",
    "h11",
    "a2wsgi",
    "fastapi",
    "starlette",
    "django",
    "flask",
    "bottle",
    "quart",
    "blacksheep",
}
FIXED = ("cores", "cpu", "kernel", "engine", "images", "versions", "placement")  # a run has one of each


def write(folder: Path, wanted: Plan, testbed: Testbed) -> None:
    """Writes the conditions; `Problem` where a run that goes on would have others than it began under."""
    file, now = folder / "machine.json", conditions(folder, wanted, testbed)
    if file.is_file():
        began = json.loads(file.read_text())
        for name in FIXED:
            if began.get(name) != now[name]:
                raise Problem(f"RUN={folder.name} began under another {name}: begin a new run, and compare")
        now |= {"date": began["date"], "command": began["command"], "commit": began["commit"]}
    file.write_text(json.dumps(now, indent=1) + "\n")


def conditions(folder: Path, wanted: Plan, testbed: Testbed) -> dict[str, Any]:
    """What is the same for every window."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    services = testbed.compose.config["services"]
    tags = dict.fromkeys(services[name]["image"] for name in ("app", *testbed.built))
    return {
        "run": folder.name,
        "plan": wanted.name,
        "command": " ".join(
            ["make bench", *(f"{k}={v}" for k, v in sorted(os.environ.items()) if k in plans.VARIABLES and v)]
        ),
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "cores": os.cpu_count(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "memory": int(memory[1]) * 1024 if memory else 0,
        "kernel": platform.release(),
        "engine": engine.describe(),
        "images": {tag.rpartition("-")[2]: testbed.compose.inspect(tag, "{{.Id}}") for tag in tags},
        "versions": versions(testbed),
        "parity": {
            "access log": "the proxies', as JSON; the servers' off",
            "TLS": "from the generator to the proxies, over HTTP/1.1; none between proxy and app, nor direct",
            "keep-alive": "as the scenario says; servers 30 s, proxies 15 s",
            "proxy headers": "set by the proxies, read by the gateway of every application",
            "each window": f"after {WARM_UP_SECONDS} s of warm-up each way; the engine's counters are read between windows",
        },
        "placement": {"stack": testbed.stack, "generator": testbed.generator},
        "rounds": wanted.rounds,
        "windows": wanted.windows,
        "dearer": wanted.dearer,
        "commit": engine.output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "",
    }


def versions(testbed: Testbed) -> dict[str, str]:
    """The releases of everything that takes part."""
    load = testbed.container("load")
    wrk = subprocess.run(["docker", "exec", load, "wrk", "-v"], capture_output=True, text=True, check=False)
    locust = engine.output("docker", "exec", load, "python3", "-c", "import locust; print(locust.__version__)")
    found = {"wrk": (wrk.stdout + wrk.stderr).split()[1], "locust": locust or ""}
    return {name: one for name, one in docs.releases().items() if name in TAKING_PART} | found
