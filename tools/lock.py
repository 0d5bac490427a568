"""`make lock`: pins every dependency with its hash. Reads requirements/*.in, writes requirements/*.txt."""

import os
import subprocess

from stack import ROOT, Problem
from tools import venv

# The Python version that each file's packages run on: the images', or the oldest that the host may have.
IMAGE_PYTHON, HOST_PYTHON = "3.14", "3.11"
PYTHON_VERSIONS = {
    "app": IMAGE_PYTHON,
    "mod_wsgi": IMAGE_PYTHON,
    "caddy": IMAGE_PYTHON,
    "traefik": IMAGE_PYTHON,
    "dev": HOST_PYTHON,
    "lock": HOST_PYTHON,
    "probe": IMAGE_PYTHON,
    "load": IMAGE_PYTHON,
}
# The files name no package index, so that each machine uses its own.
OPTIONS = "--universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links"


def main() -> None:
    """Keeps the pins that still fit; `UPGRADE=1` pins the newest releases."""
    venv.make()
    run("pip", "install", "--quiet", "--require-hashes", "--requirement", "requirements/lock.txt")
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    for name, version in PYTHON_VERSIONS.items():
        print(f"lock: {name}", flush=True)
        files = ["--output-file", f"requirements/{name}.txt", f"requirements/{name}.in"]
        run("uv", "pip", "compile", "--quiet", *upgrade, *OPTIONS.split(), "--python-version", version, *files)


def run(program: str, *arguments: str) -> None:
    """Runs a program of .venv; its error messages are shown as they come."""
    command = [str(ROOT / ".venv/bin" / program), *arguments]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise Problem(f"`{program}` failed: the reason is above")
