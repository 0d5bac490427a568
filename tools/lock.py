"""`make lock`: pins every dependency with its hash. Reads requirements/*.in (and acme/), writes a .txt beside each."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from stack import ROOT, Problem
from tools import venv

# The Python releases that each file's packages run on: the images', or the oldest that the host may have.
IMAGE = ("3.14",)
HOST = ("3.11", "3.12", "3.13", "3.14")
# A name with a folder is that of a file outside requirements/, beside the Dockerfile that copies it.
# The files that `-c app.txt` binds to the application's pins come last.
FILES = (
    {
        "app": IMAGE,
        "mod_wsgi": IMAGE,
        "caddy": IMAGE,
        "traefik": IMAGE,
        "load": IMAGE,
        "lock": HOST,
        "acme/requirements": IMAGE,
    },
    {"dev": HOST, "probe": IMAGE},
)
# The files name no package index, so that each machine uses its own. (!) --no-python-downloads: for each file, uv would
# otherwise fetch the images' Python, which it does not need.
OPTIONS = (
    "--no-python-downloads --universal --generate-hashes --no-header --no-annotate "
    "--no-emit-index-url --no-emit-find-links"
)
TOO_OLD = "does not satisfy Python"  # uv's words where a package needs a later Python


def main() -> None:
    """Keeps the pins that still fit; `UPGRADE=1` pins the newest releases."""
    venv.make()
    pip = [
        str(ROOT / ".venv/bin/pip"),
        "install",
        "--quiet",
        "--require-hashes",
        "--requirement",
        "requirements/lock.txt",
    ]
    if subprocess.run(pip, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise Problem("`pip` failed: the reason is above")
    for group in FILES:
        with ThreadPoolExecutor() as pool:  # nearly all of the time is the package index's
            pins = [pool.submit(pin, name, versions) for name, versions in group.items()]
        for name, result in zip(group, pins, strict=True):
            version = result.result()
            later = (
                f", for Python {version} or later, because the application needs it" if version > group[name][0] else ""
            )
            print(f"lock: {name}{later}", flush=True)


def pin(name: str, versions: tuple[str, ...]) -> str:
    """Pins one file for the first of the Python versions that its packages run on. Returns that version."""
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    path = name if "/" in name else f"requirements/{name}"
    files = ["--output-file", f"{path}.txt", f"{path}.in"]
    command = [str(ROOT / ".venv/bin/uv"), "pip", "compile", "--quiet", *upgrade, *OPTIONS.split(), *files]
    for version in versions:
        done = subprocess.run(
            [*command, "--python-version", version], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return version
        if TOO_OLD not in " ".join(done.stderr.split()):
            break
    print(done.stderr.strip(), file=sys.stderr)
    raise Problem(f"{path}.in cannot be pinned: the reason is above")
