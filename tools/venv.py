"""Makes .venv, for tests and lint. Debian ships Python without its venv module, so the module is installed there."""

import os
import shutil
import subprocess
import sys

from stack import ROOT, Problem
from stack.apt import apt

FOLDER = ROOT / ".venv"


def make() -> None:
    """Makes .venv with the Python that runs this; `Problem` says what is missing otherwise."""
    if (FOLDER / "bin/pip").exists():
        return
    made = run_venv()
    if not made and os.geteuid() == 0 and shutil.which("apt-get") and sys.executable.startswith("/usr/bin/"):
        apt("update", "-qq")
        apt("install", "-qq", "--no-install-recommends", "python3-venv")
        made = run_venv()
    if not made:
        shutil.rmtree(FOLDER, ignore_errors=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise Problem(
            f"{sys.executable} cannot make a virtual environment: install its venv module ({version}-venv on Debian)"
        )


def run_venv() -> bool:
    """Runs `python3 -m venv`; whether it succeeded."""
    command = [sys.executable, "-m", "venv", "--clear", str(FOLDER)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
