"""Makes .venv, for tests and lint. Debian ships Python without what `venv` needs; there, it is installed."""

import os
import shutil
import subprocess
import sys

from stack import ROOT, Problem, engine


def make() -> None:
    """Makes .venv with the Python that runs this; `Problem` says what is missing otherwise."""
    folder = ROOT / ".venv"
    if (folder / "bin/pip").exists():
        return
    done = create()
    if (
        done.returncode != 0
        and os.geteuid() == 0
        and shutil.which("apt-get")
        and sys.executable.startswith("/usr/bin/")
    ):
        engine.apt("update", "-qq")
        engine.apt("install", "-qq", "--no-install-recommends", "python3-venv")
        done = create()
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise Problem(
            f"{sys.executable} cannot make a virtual environment: install its venv module ({version}-venv on Debian)"
        )


def create() -> subprocess.CompletedProcess[str]:
    """Runs `python3 -m venv`."""
    command = [sys.executable, "-m", "venv", "--clear", str(ROOT / ".venv")]
    return subprocess.run(command, capture_output=True, text=True, check=False)
