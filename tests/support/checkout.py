"""A checkout of the project's own for the tests of the make commands, and the fixtures that make one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ROOT
from stack.build import remove_images
from stack.compose import LABEL
from tests.support.engine import client
from tests.support.stack import IMAGES, own_environment

OWN_IMAGES = f"{IMAGES}-{os.getpid()}"


class Checkout:
    """A copy of the files that git would clone, with a project name and ports of its own."""

    SECONDS = 170  # that a make command may take

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["git", "ls-files", "-co", "--exclude-standard"]
        files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        for name in files:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "MAKE", "MFLAGS"))
        }
        # Images of its own, because some tests build changed ones, and the other workers run the shared ones.
        self.environment |= own_environment(f"commands-{os.getpid()}") | {"IMAGES": OWN_IMAGES}

    @property
    def project(self) -> str:
        """The project's name."""
        return self.environment["COMPOSE_PROJECT_NAME"]

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs make; both streams as text."""
        return subprocess.run(
            [*self.make_command(), *words], cwd=self.folder, env=self.environment | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=self.SECONDS, check=False,
        )  # fmt: skip

    def destroy(self) -> subprocess.CompletedProcess[str]:
        """Removes the stack with its volumes."""
        return self.make("destroy", "YES=1")

    def start_make(self, *words: str) -> subprocess.Popen[str]:
        """Starts make in a process group of its own, which a signal can end as Ctrl-C does; both streams in one."""
        return subprocess.Popen(
            [*self.make_command(), *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    @staticmethod
    def make_command() -> list[str]:
        """The start of a make command, with the Python that runs the tests."""
        return ["make", "--no-print-directory", f"PYTHON={sys.executable}"]

    def run_stack(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of `stack` that is no make target."""
        words = [sys.executable, "-m", "stack", command]
        return subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    def left(self) -> list[str]:
        """The containers, networks and volumes of the project."""
        return list_project(self.project)

    def containers(self, service: str) -> list[str]:
        """The running containers of a service."""
        labels = [f"{LABEL}.project={self.project}", f"{LABEL}.service={service}"]
        return [container["Id"] for container in client().api.containers(filters={"label": labels})]

    def container(self, service: str) -> str:
        """The only running container of a service."""
        (container,) = self.containers(service)
        return container


def list_project(project: str) -> list[str]:
    """The containers (running or not), networks and volumes of a project, in a fixed order."""
    filters = {"label": f"{LABEL}.project={project}"}
    api = client().api
    parts = [container["Id"] for container in api.containers(all=True, filters=filters)]
    parts += [network["Id"] for network in api.networks(filters=filters)]
    parts += [volume["Name"] for volume in api.volumes(filters=filters)["Volumes"] or []]
    return sorted(parts)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a failed command; make's own last line is not counted."""
    assert done.returncode != 0, done.stdout
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert len(lines) == 1, f"not one line: {done.stderr}"
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture(scope="session")
def checkout_images() -> Iterator[None]:
    """The images of this process's checkouts. They are removed at the end."""
    yield
    remove_images(OWN_IMAGES)


@pytest.fixture(scope="module")
def module_checkout(checkout_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with every image built, for the tests of one file."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    try:
        built = checkout.run_stack("build")
        assert built.returncode == 0, built.stderr
        yield checkout
    finally:
        checkout.destroy()


@pytest.fixture
def checkout(module_checkout: Checkout) -> Checkout:
    """The checkout with nothing running."""
    if module_checkout.left():
        done = module_checkout.destroy()
        assert done.returncode == 0, done.stderr
    assert module_checkout.left() == []
    return module_checkout
