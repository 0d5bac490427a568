"""The folder that `make export` makes of a guest, where `./roll` starts the application by itself."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from stack.build import remove_images
from stack.compose import Compose
from stack.readiness import read_authority
from tests.support.clients import Clients
from tests.support.engine import list_containers, remove_project
from tests.support.guests import Guest


class ExportedGuest(Clients):
    """The exported folder, with the ports of the guest, and its clients."""

    def __init__(self, guest: Guest) -> None:
        Clients.__init__(self, guest.folder / "export-ca.pem")
        self.guest, self.folder = guest, guest.source / "deploy"
        self.project = f"{guest.project}-export"
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME")}
        self.environment["COMPOSE_PROJECT_NAME"] = self.project

    @property
    def compose(self) -> Compose:
        """The export as a stack."""
        files = {"COMPOSE_FILE": str(self.folder / "compose.yaml"), "COMPOSE_ENV_FILES": str(self.folder / ".env")}
        return Compose(self.environment | files)

    def run(self, *command: str) -> str:
        """What a script of the folder prints on its standard output; it must succeed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return self.guest.https_port(proxy)

    def container(self, service: str) -> str:
        """The only container of a service."""
        (container,) = list_containers(self.project, service)
        return container


@contextmanager
def exported(guest: Guest) -> Iterator[ExportedGuest]:
    """The export, up by its own `./roll`; it and the guest are removed at the end, because they share their ports."""
    export = ExportedGuest(guest)
    try:
        guest.run_make("export", TO=str(export.folder))
        guest.run_make("down")
        export.run("./roll")
        export.ca.write_text(read_authority(export.compose))
        yield export
    finally:
        export.close_sessions()
        remove_project(export.project)
        remove_images(export.project)
