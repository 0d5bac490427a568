"""A stack of the tests' own: its project, its ports and its environment belong to no other checkout or user."""

import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from testcontainers.compose import DockerCompose

from apps.runtime import serve
from stack import CHECKOUT, ROOT, images, proxies
from stack.build import build, remove_images
from stack.compose import Compose
from stack.ports import HTTP, HTTPS, published_number
from stack.running_stack import RunningStack
from stack.waiting import wait_until
from tests.support.clients import Clients
from tests.support.engine import (
    exec_in,
    exec_status,
    inspect_network,
    list_containers,
    list_image_projects,
    list_projects,
    remove,
    remove_project,
)

PROXIES = tuple(proxies.names())
DEFAULT_PROXIES = ("nginx", "caddy")  # the proxies without a profile: every server is tested behind these
# The two servers that are tested behind the other proxies too.
TWO_SERVERS = {("granian", "asgi", "bare"), ("gunicorn", "wsgi", "bare"), ("granian", "asgi"), ("gunicorn", "wsgi")}
HTTP_VERSIONS = ("1.1", "2", "3")
# The account of the admin area, and a rate of logins that no test reaches. The hash is bcrypt at its lowest cost.
ADMIN = ("ana", "a password")
# A public name of the site: the others are private, so that they get no HSTS.
PUBLIC = "www.shop.example"
EDGE = {
    "DOMAIN": f"localhost 127.0.0.1 {' '.join(PROXIES)} {PUBLIC}",
    "ADMIN_USER": ADMIN[0],
    "ADMIN_PASSWORD_HASH": "$2a$04$GldI.lIKZcQoyMbhmnidP..1FrDk5wL4FHmSDpwqUvtkcAb4tLt9G",
    "LOGIN_RATE": "1000",
}
PREFIX = CHECKOUT.replace("stack-", "stack-test-")
IMAGES = CHECKOUT
# The ports of the tests are below the kernel's own range for clients. Each worker of pytest-xdist has a part of them,
# because two workers could otherwise choose the same port before either of them uses it.
FIRST_PORT, LAST_PORT, WORKERS_MOST = 20000, 31999, 8
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS_MOST
PORTS = range(FIRST_PORT + WORKER, LAST_PORT + 1, WORKERS_MOST)
handed_out: set[int] = set()


def free_port() -> int:
    """A port that neither TCP nor UDP uses at the moment, and that this process gets once only."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in handed_out:
            handed_out.add(port)
            return port
    raise OSError(f"no free port from {FIRST_PORT} to {LAST_PORT}")


def own_environment(name: str) -> dict[str, str]:
    """The settings that make a project the tests' own. The images are those of this checkout."""
    keys = [f"{proxy.upper()}_{scheme}_PORT" for proxy in PROXIES for scheme in ("HTTP", "HTTPS")]
    ports = {key: str(free_port()) for key in keys}
    return {
        "COMPOSE_PROJECT_NAME": f"{PREFIX}-{name}",
        "IMAGES": IMAGES,
        "APP_ENV_FILE": "/dev/null",
        **ports,
        **images.ensure(),
    }


@cache
def server_image(server: str, interface: str = "") -> str:
    """The image that a server runs in. An image other than the usual one is built when a test first needs it."""
    base = serve.choose({"SERVER": server, "INTERFACE": interface}).base
    if base != "app":
        build(Compose({**own_environment("image"), "APP_BASE": base}), [])
    return f"{IMAGES}-{base}"


def proxy_version(proxy: str) -> str:
    """The release of the proxy that the tests run, as its own program says."""
    return images.version(f"{IMAGES}-{proxy}", proxy).split()[1]


class StackUnderTest(RunningStack, Clients):
    """Proxies and one app, running. `serve` puts another server in the app's place.

    testcontainers starts the proxies and removes the stack; `RunningStack` changes the app, as `make up` does.
    """

    def __init__(self, name: str, folder: Path, proxies: Sequence[str] = PROXIES, **settings: str) -> None:
        self.folder, self.proxies = folder, proxies
        environment = own_environment(name) | EDGE | settings
        env_file = folder / "stack.env"  # in place of the user's .env, which must not change a test
        env_file.write_text("".join(f"{key}='{value}'\n" for key, value in environment.items()))
        RunningStack.__init__(self, Compose(environment | {"COMPOSE_ENV_FILES": str(env_file)}))
        self.containers = DockerCompose(ROOT, env_file=str(env_file), profiles=["*"], wait=False)
        Clients.__init__(self, folder / "ca.pem")
        self.serving: tuple[str, str, str] | None = None

    def start_proxies(self) -> None:
        """Builds what changed and starts the proxies, without an app."""
        self.build()
        self.containers.services = list(self.proxies)
        self.containers.start()
        self.ca.write_text(self.read_authority())

    @contextmanager
    def running(self) -> Iterator["StackUnderTest"]:
        """Starts the proxies, and removes everything at the end, and where the start fails."""
        remove_leftovers()
        try:
            self.start_proxies()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Removes everything that the stack made. The containers are killed, because no test asks how they end here."""
        self.close_sessions()
        remove(*self.compose.containers(include_stopped=True))
        self.containers.stop(down=True)
        if self.compose.exists():  # interrupted while it started
            self.undo()

    def container(self, service: str) -> str:
        """The id of a service's only container. Tests ask for it often, so this asks the engine without its CLI."""
        (container,) = list_containers(self.compose.project, service)
        return container

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return published_number(self.compose, proxy, HTTPS)

    def http_port(self, proxy: str) -> int:
        """The published port of a proxy's redirect."""
        return published_number(self.compose, proxy, HTTP)

    def choose_server(self, server: str, interface: str, app: str = "bare", **settings: str) -> None:
        """Sets what the next app container runs."""
        base = server_image(server, interface).rpartition("-")[2]
        choice = {"SERVER": server, "INTERFACE": interface, "APP": app, "APP_BASE": base}
        self.change(choice | {"WORKERS": "", "THREADS": "", "GRACE": ""} | settings)

    def serve(self, server: str, interface: str, app: str = "bare", **settings: str) -> None:
        """Runs that server in a new app container, and waits until every proxy reaches it. The old app is killed.

        Does nothing where that server runs already, unless there are `settings`.
        """
        choice = (server, interface, app)
        if self.serving == choice and not settings and list_containers(self.compose.project, "app", running=True):
            return
        self.choose_server(*choice, **settings)
        self.replace_app()
        self.wait_for_proxies(self.proxies)
        self.serving = None if settings else choice

    @contextmanager
    def variant(self, proxy: str, volumes: Sequence[str] = (), **settings: str) -> Iterator[str]:
        """Starts one more container of a proxy, with other settings, beside the first; yields its address.

        `volumes`: further mounts as `docker compose run` takes them, which replace those of the same folder.
        """
        words = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
        words += [word for volume in volumes for word in ("--volume", volume)]
        container = self.compose.run("run", "--detach", "--no-deps", *words, proxy).split()[-1]
        try:
            address = self.compose.address(container, "edge")
            assert wait_until(lambda: is_healthy(container), 20), self.compose.logs(container)
            yield address
        finally:
            remove(container)

    def app(self) -> str:
        """The app's container."""
        return self.container("app")

    def app_name(self) -> str:
        """The name under which the proxies look for the app: the project's own."""
        return f"{self.compose.project}-app"

    def network(self, name: str) -> str:
        """The engine's name of one of the stack's networks: `edge`, `backend` or `data`."""
        return f"{self.compose.project}_{name}"

    def gateway(self) -> str:
        """The address that this host has in the proxies' network: that of a client on the host."""
        return inspect_network(self.network("edge"))["IPAM"]["Config"][0]["Gateway"]

    def in_app(self, script: str) -> str:
        """What a Python script prints inside the app's container, beside the server."""
        return exec_in(self.app(), "python3", "-c", script)


def is_open(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_healthy(container: str) -> bool:
    """Whether a proxy's own check passes now. Docker itself runs the check every ten seconds only."""
    return exec_status(container, "healthcheck.sh")[0] == 0


def spoken_versions(proxy: str) -> tuple[str, ...]:
    """The HTTP versions that a proxy speaks."""
    return tuple(version for version in HTTP_VERSIONS if (proxy, f"HTTP/{version}") not in proxies.LACKS)


@cache
def remove_leftovers() -> None:
    """Removes the stacks of earlier runs that were killed, once a process. The process that made a stack names it.

    A stack whose process runs is that of another worker, or of another run, and stays.
    """
    for project in list_projects():
        owner = project.removeprefix(f"{PREFIX}-").rpartition("-")[2]
        if project.startswith(f"{PREFIX}-") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove_project(project)
    for project in list_image_projects():
        owner = project.removeprefix(f"{IMAGES}-")
        if project.startswith(f"{IMAGES}-") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove_images(project)
