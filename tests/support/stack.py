"""A stack of the tests' own: project, ports and environment that no other checkout or user shares."""

import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from testcontainers.compose import DockerCompose

from apps import serve
from stack import CHECKOUT, ROOT, engine, images, proxies
from stack.build import build
from stack.compose import LABEL, Compose
from stack.ports import HTTP, HTTPS, published_number
from stack.running_stack import RunningStack
from stack.waiting import wait_until
from tests.support.clients import Clients
from tests.support.engine import docker, exec_in, remove

PROXIES = tuple(proxies.names())
DEFAULT_PROXIES = ("nginx", "caddy")  # those that run by default: the sweeps over every server go through them
# The two servers with which the sweeps go through the other proxies.
TWO_SERVERS = {("granian", "asgi", "bare"), ("gunicorn", "wsgi", "bare"), ("granian", "asgi"), ("gunicorn", "wsgi")}
HTTP_VERSIONS = ("1.1", "2", "3")
# The account of the admin area, and more logins a second than the tests send. The hash is bcrypt at its lowest cost.
ADMIN = ("ana", "a password")
EDGE = {
    "ADMIN_USER": ADMIN[0],
    "ADMIN_PASSWORD_HASH": "$2a$04$GldI.lIKZcQoyMbhmnidP..1FrDk5wL4FHmSDpwqUvtkcAb4tLt9G",
    "LOGIN_RATE": "1000",
}
PREFIX = CHECKOUT.replace("stack-", "stack-test-")
IMAGES = CHECKOUT


def free_port() -> int:
    """A port that neither TCP nor UDP uses at the moment, below the kernel's own range for clients."""
    for port in random.sample(range(20000, 32000), 200):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port from 20000 to 31999")


def own_environment(name: str) -> dict[str, str]:
    """What makes a project the tests' own; the images are this checkout's."""
    keys = [f"{proxy.upper()}_{scheme}_PORT" for proxy in PROXIES for scheme in ("HTTP", "HTTPS")]
    ports = {key: str(free_port()) for key in keys}
    return {"COMPOSE_PROJECT_NAME": f"{PREFIX}-{name}", "IMAGES": IMAGES, **ports, **images.ensure()}


@cache
def server_image(server: str, interface: str = "") -> str:
    """The image that a server runs in; another than the usual one is built when a test first asks for it."""
    base = serve.choose({"SERVER": server, "INTERFACE": interface}).base
    if base != "app":
        build(Compose({**own_environment("image"), "APP_BASE": base}), [])
    return f"{IMAGES}-{base}"


def proxy_version(proxy: str) -> str:
    """The release of the proxy that the tests run, as its own program says."""
    return images.version(f"{IMAGES}-{proxy}", proxy).split()[1]


class StackUnderTest(RunningStack, Clients):
    """Every proxy and one app, running; `serve` puts another server in the app's place."""

    def __init__(self, name: str, folder: Path, **more: str) -> None:
        self.folder = folder
        settings = own_environment(name) | EDGE | more
        env_file = folder / "stack.env"  # in place of the user's .env, which is not the tests' business
        env_file.write_text("".join(f"{key}='{value}'\n" for key, value in settings.items()))
        RunningStack.__init__(self, Compose(settings | {"COMPOSE_ENV_FILES": str(env_file)}))
        self.containers = DockerCompose(ROOT, env_file=str(env_file), profiles=["*"], wait=False)
        Clients.__init__(self, folder / "ca.pem")
        self.serving: tuple[str, str, str] | None = None

    def start_proxies(self) -> None:
        """Builds what changed and starts the proxies, without an app."""
        self.build()
        self.containers.services = list(PROXIES)
        self.containers.start()
        self.ca.write_text(self.read_authority())

    def stop(self) -> None:
        """Removes everything that the stack made."""
        self.close_sessions()
        self.containers.stop(down=True)
        if self.compose.exists():  # interrupted while it started
            self.undo()

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return published_number(self.compose, proxy, HTTPS)

    def http_port(self, proxy: str) -> int:
        """The published port of a proxy's redirect."""
        return published_number(self.compose, proxy, HTTP)

    def choose_server(self, server: str, interface: str, app: str = "bare", **more: str) -> None:
        """What the next app container will run."""
        base = server_image(server, interface).rpartition("-")[2]
        choice = {"SERVER": server, "INTERFACE": interface, "APP": app, "APP_BASE": base}
        self.change(choice | {"WORKERS": "", "THREADS": "", "GRACE": ""} | more)

    def serve(self, server: str, interface: str, app: str = "bare", **more: str) -> None:
        """Runs that server in a new app container, and waits until every proxy reaches it. The old one is killed."""
        if self.serving == (server, interface, app) and not more and self.compose.containers("app"):
            return
        self.choose_server(server, interface, app, **more)
        self.replace_app()
        self.wait_for_proxies(PROXIES)
        self.serving = None if more else (server, interface, app)

    @contextmanager
    def variant(self, proxy: str, **settings: str) -> Iterator[str]:
        """One more container of a proxy, with other settings, beside the first; its address."""
        words = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
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

    def gateway(self) -> str:
        """The address that this host has in the proxies' network: that of a client on the host."""
        return docker(
            "network", "inspect", f"{self.compose.project}_edge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
        )

    def in_app(self, script: str) -> str:
        """What a Python script prints inside the app's container, beside the server."""
        return exec_in(self.app(), "python3", "-c", script)


def is_open(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def is_healthy(container: str) -> bool:
    """Whether a proxy's own check passes now; Docker asks every ten seconds only."""
    done = subprocess.run(["docker", "exec", container, "healthcheck.sh"], capture_output=True, check=False)
    return done.returncode == 0


def spoken_versions(proxy: str) -> tuple[str, ...]:
    """The HTTP versions that a proxy speaks."""
    return tuple(version for version in HTTP_VERSIONS if (proxy, f"HTTP/{version}") not in proxies.LACKS)


def remove_leftovers() -> None:
    """Removes what an earlier run of this checkout's tests left because it was killed."""
    projects = engine.output("docker", "compose", "ls", "--all", "--quiet") or ""
    for project in projects.split():
        owner = project.removeprefix(f"{PREFIX}-").rpartition("-")[2]
        if project.startswith(f"{PREFIX}-") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            left = engine.output("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}.project={project}")
            remove(*(left or "").split())
            docker("compose", "--project-name", project, "down", "--volumes", check=False)
