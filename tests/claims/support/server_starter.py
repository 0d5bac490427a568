"""Starts application servers without a proxy, as compose.yaml starts the app, and removes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack import ROOT, images
from stack.build import build
from stack.compose import Compose
from stack.waiting import wait_until
from tests.claims.support import containers
from tests.claims.support.server_scripts import has_one_process
from tests.claims.support.single_server import SingleServer
from tests.support.engine import remove, run_detached
from tests.support.stack import IMAGES, PREFIX, remove_leftovers, server_image

# Files that can be the application: the claims' own, by interface; and the talk's examples.
APPS = Path(__file__).parents[1] / "apps"
EXAMPLES = ROOT / "apps/examples"
PROJECT = f"{PREFIX}-single-{os.getpid()}"
# As compose.yaml runs the app.
OPTIONS: dict[str, Any] = {
    **containers.HARDENED,
    "init": True,
    "tmpfs": {"/tmp": "uid=10001,gid=10001,mode=0700,size=64m"},
    "sysctls": {"net.ipv4.tcp_migrate_req": "1"},
    "labels": containers.project_labels(PROJECT),
    "healthcheck": {"test": ["NONE"]},
}
SETTINGS = {"WORKERS": "2", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20"}


class SingleServers:
    """Starts servers without a proxy, all under one label, and removes them."""

    def __init__(self) -> None:
        remove_leftovers()
        build(Compose({"COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": IMAGES} | images.ensure()))

    def start(
        self,
        server: str,
        interface: str,
        app: Path | str = "bare",
        flags: str = "",
        restart: str = "no",
        image: str = "",
        **settings: str,
    ) -> SingleServer:
        """Starts one server.

        `app` is the name of an application of the stack, or a file that has an `app`. `flags` stand before the flags
        of the server's script. `settings` are those of `make up`.
        """
        name = app if isinstance(app, str) else app.stem
        environment = SETTINGS | {"SERVER": server, "INTERFACE": interface, "APP": name} | settings
        if has_one_process(server, interface):
            environment["WORKERS"] = settings.get("WORKERS", "1")
        options = OPTIONS | {"environment": environment, "restart_policy": {"Name": restart}}
        if isinstance(app, Path):
            options["volumes"] = {str(app): {"bind": f"/srv/apps/{interface}/{name}.py", "mode": "ro,z"}}
        command = add_flags(server, interface, flags) if flags else ()
        container = run_detached(image or server_image(server, interface), *command, **options)
        return SingleServer(container, server, interface, int(environment["WORKERS"]))

    @contextmanager
    def serving(self, server: str, interface: str, app: Path | str = "bare", **settings: str) -> Iterator[SingleServer]:
        """One server, from its first answer to its removal. One worker and four threads unless `settings` differ."""
        single = self.start(server, interface, app, **{"WORKERS": "1", "THREADS": "4"} | settings)
        try:
            answers = wait_until(lambda: single.is_answering() or single.state() != "running", 60)
            assert answers and single.state() == "running", f"{single.name} {app}: {single.logs()[-2000:]}"
            yield single
        finally:
            self.remove(single)

    @contextmanager
    def script(self, *command: str) -> Iterator[SingleServer]:
        """A command that serves on 127.0.0.1:8000 in a container without a network; ask it by `get_inside`."""
        single = SingleServer(run_detached(f"{IMAGES}-app", *command, network_mode="none", **OPTIONS))
        try:
            yield single
        finally:
            self.remove(single)

    def remove(self, *servers: SingleServer) -> None:
        """Removes these servers."""
        remove(*(server.container for server in servers))

    def __enter__(self) -> "SingleServers":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove_all()

    def remove_all(self) -> None:
        """Removes every server that is left."""
        containers.remove_project(PROJECT)


def add_flags(server: str, interface: str, flags: str) -> tuple[str, ...]:
    """A command that runs the server's script with more flags.

    It runs past apps/runtime/serve.py, which sets the trusted peers. So it sets FORWARDED_ALLOW_IPS itself.
    """
    edit = f"sed 's/^exec [a-z]*/& {flags}/' /srv/apps/servers/{interface}/{server}.sh >/tmp/server.sh"
    return "sh", "-c", f"{edit}; exec env FORWARDED_ALLOW_IPS=127.0.0.1 sh /tmp/server.sh"
