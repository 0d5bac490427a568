"""An application of somebody's, run as its users would: a copy of its project, and `make up APP_DIR=…`."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import niquests

from stack import ROOT
from stack.build import remove_images
from stack.compose import Compose
from stack.waiting import wait_until
from tests.support.checkout import Checkout
from tests.support.clients import Clients
from tests.support.load import Load
from tests.support.stack import DEFAULT_PROXIES

GUESTS = ROOT / "tests/guests"
READ_VERSION = Callable[[niquests.Response], str]


class Guest(Checkout, Clients):
    """A checkout that runs the project `tests/guests/<name>` behind NGINX and Caddy, and its clients.

    `source` is the copy that runs: a test changes it to make a new version. Its app.env, if any, is APP_ENV_FILE.
    """

    SECONDS = 500  # a first build compiles the packages of a project

    def __init__(self, name: str, folder: Path, **settings: str) -> None:
        Checkout.__init__(self, folder / "stack")
        Clients.__init__(self, self.folder / "ca.pem")
        self.source = shutil.copytree(GUESTS / name, folder / name)
        self.environment |= {"APP_DIR": str(self.source), **settings}
        if (variables := self.source / "app.env").exists():
            self.environment["APP_ENV_FILE"] = str(variables)

    @property
    def compose(self) -> Compose:
        """The stack, for what asks the engine about it."""
        return Compose(self.environment)

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return int(self.environment[f"{proxy.upper()}_HTTPS_PORT"])

    def up(self, **settings: str) -> str:
        """`make up`: starts the application, or swaps it for the present project and settings. What it prints."""
        self.environment |= settings
        return self.run_make("up")

    def run(self, command: str) -> str:
        """`make run CMD=…`: what a command in the application's image and environment prints."""
        return self.run_make("run", CMD=command)

    def run_make(self, target: str, **environment: str) -> str:
        """What a make command prints; it must succeed."""
        done = self.make(target, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def roll_under_load(self, path: str, read_version: READ_VERSION, **settings: str) -> Counter[str]:
        """`make up` with the changed project while clients GET `path`: no request fails, and both versions answer.

        `read_version` finds in an answer which version gave it. Returns the number of answers by version.
        """
        with ExitStack() as end:
            loads = [end.enter_context(Load(self, proxy, "GET", path, read_version)) for proxy in DEFAULT_PROXIES * 2]
            assert wait_until(lambda: all(load.servers.total() > 20 for load in loads), 30), loads[0].answers
            old = {version for load in loads for version in load.servers}
            self.up(**settings)
            assert wait_until(lambda: all(set(load.servers) - old for load in loads), 30), "no new version answered"
        for load in loads:
            failed = [line for line in self.log_lines(load.proxy) if line.get("status", 200) >= 500]
            assert set(load.answers) == {"200"}, f"GET through {load.proxy}: {dict(load.answers)}; its log: {failed}"
            assert len(load.servers) == 2, f"through {load.proxy}: {dict(load.servers)}"
        return sum((load.servers for load in loads), Counter())


@contextmanager
def running(name: str, folder: Path, **settings: str) -> Iterator[Guest]:
    """The application, up; it and all that it made are removed at the end."""
    guest = Guest(name, folder, **settings)
    try:
        guest.up()
        guest.run_make("trust")
        yield guest
    finally:
        guest.close_sessions()
        guest.destroy()
        remove_images(guest.environment["IMAGES"])


class ClientTools:
    """Programs of PyPI that ask a guest, such as twine, in an environment of their own."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        self.programs = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(self.programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a program. (!) It gets no variable of this process: one may name other authorities than the stack's."""
        environment = {"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": "/nonexistent", "NO_COLOR": "1"}
        return subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
