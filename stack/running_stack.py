"""One running stack: `make`, the tests, the claims and the bench start, change and remove a stack through this class.

`compose` has the present settings, which the next container gets. `change` replaces them.
"""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager

from stack import Problem, acme, dotenv, engine, progress
from stack.build import build, remove_images
from stack.compose import Compose
from stack.readiness import read_authority, wait_for_containers, wait_for_proxies
from stack.swap import remove_containers, remove_volumes, swap_app

UNDO_TRIES = 5


class RunningStack:
    """A Compose project from its first container to its removal."""

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.authority = ""  # read once: it stays the same as long as the stack
        self.has_answered = False  # the app, since this object waited for it

    def change(self, settings: Mapping[str, str]) -> None:
        """Puts `settings` on top of the present ones, for the containers that start from now on."""
        self.compose = self.compose.with_settings(settings)

    def build(self, parts: Iterable[str] | None = None, bases: Iterable[str] = ()) -> None:
        """Builds the images of the app and of `parts` (None: of every proxy), and the app's on other bases too."""
        build(self.compose, parts)
        for base in bases:
            build(self.compose.with_settings({"APP_BASE": base}), [])
        remove_images(self.compose.image_project, "dangling=true")

    def make_certificates(self, *beside: str) -> None:
        """Runs the service that makes or renews the certificates; `Problem`, with its log, where it fails.

        `beside`: services that need no certificate, and start at the same time.
        """
        self.start("certs", *beside)
        container = self.compose.container("certs")
        if engine.output("docker", "wait", container) != "0":
            progress.show(self.compose.logs(container))
            raise Problem("no certificate: the log of the service certs is above")

    def start(self, *services: str, recreate: bool = False, scale: str = "") -> None:
        """Starts services, or replaces their containers where a setting has changed.

        `recreate` replaces the containers in any case, and kills the old ones. `scale` (`app=2`) sets the number of
        containers, and leaves the present ones as they are.
        """
        options = ["--force-recreate", "--timeout", "0"] if recreate else []
        options += ["--no-recreate", "--scale", scale] if scale else []
        self.compose.run("up", "--detach", "--no-build", "--no-deps", *options, *services)

    def create(self, *services: str) -> None:
        """Makes the containers, networks and volumes of services, and starts nothing."""
        self.compose.run("up", "--no-start", "--no-build", "--no-deps", *services)

    def replace_app(self) -> None:
        """Starts a new app container in place of the old one, which is killed, and waits until it answers."""
        self.start("app", recreate=True)
        self.wait_for_app()

    def swap_app(self, meanwhile: Callable[[], object] = bool) -> None:
        """Replaces the app's containers without a gap: see stack/swap.py."""
        swap_app(self.compose, meanwhile)
        self.has_answered = True

    def wait_for_app(self) -> None:
        """Waits until every app container answers."""
        wait_for_containers(self.compose, self.compose.containers("app", include_stopped=True))
        self.has_answered = True

    def wait_for_proxies(self, proxies: Iterable[str], seconds: float | None = None) -> None:
        """Waits until a request gets through each proxy."""
        authority = self.read_authority() + acme.read_authority(dotenv.overlay(self.compose.environment))
        wait_for_proxies(self.compose, proxies, authority, seconds)

    def container(self, service: str) -> str:
        """The id of a service's only container."""
        return self.compose.container(service)

    def address(self, service: str, network: str) -> str:
        """The IPv4 address of a service's container in one of the stack's networks."""
        return self.compose.address(self.container(service), network)

    def read_authority(self) -> str:
        """The certificate of the stack's local authority (PEM)."""
        self.authority = self.authority or read_authority(self.compose)
        return self.authority

    def remove(self, keep_volumes: bool = False) -> None:
        """Removes the project's containers and networks, its volumes too (else they are kept), and nothing else."""
        self.compose.run("down", "--remove-orphans", *([] if keep_volumes else ["--volumes"]))
        self.compose.remove_networks()

    def undo(self, kept_volumes: Container[str] = (), kill: bool = False) -> None:
        """Removes what an interrupted start made, but for `kept_volumes`.

        Tries again, because the engine may still be making the last part.
        """
        for _ in range(UNDO_TRIES):
            if kill:
                remove_containers(self.compose.containers(include_stopped=True))
            self.remove(keep_volumes=True)
            remove_volumes(volume for volume in self.compose.volumes() if volume not in kept_volumes)
            time.sleep(1)
            if not self.compose.exists(but_volumes=kept_volumes):
                return

    @contextmanager
    def undo_on_failure(self, keep_new_volumes: bool) -> Iterator[None]:
        """Removes what a first start made, where it fails or is interrupted.

        A volume that was there before stays. `keep_new_volumes`: so do the new ones, because one holds an ACME account.
        They also stay once the app answers: what it has written may be the user's.
        """
        is_first = not self.compose.containers(include_stopped=True)
        before = self.compose.volumes()
        try:
            yield
        except BaseException:
            if is_first:
                has_data = keep_new_volumes or self.has_answered
                self.undo(kept_volumes=self.compose.volumes() if has_data else before)
            raise
