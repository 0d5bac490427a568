"""A stack of the tests' own: project, ports and environment that no other checkout or user shares."""

import http.client
import json
import random
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import niquests
from testcontainers.compose import DockerCompose

from apps import contract, serve
from stack import CHECKOUT, ROOT, engine, images, proxies, up
from stack.compose import LABEL, Compose

PROXIES = ("nginx", "caddy")  # those that run by default: the sweeps over every server go through them
EVERY_PROXY = tuple(proxies.names())
TWO_SERVERS = {("granian", "asgi", "bare"), ("gunicorn", "wsgi", "bare"), ("granian", "asgi"), ("gunicorn", "wsgi")}
VERSIONS = ("1.1", "2", "3")
NAME = "localhost"
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


def environment(name: str) -> dict[str, str]:
    """What makes a project the tests' own; the images are this checkout's."""
    keys = [f"{proxy.upper()}_{scheme}_PORT" for proxy in EVERY_PROXY for scheme in ("HTTP", "HTTPS")]
    ports = {key: str(free_port()) for key in keys}
    return {"COMPOSE_PROJECT_NAME": f"{PREFIX}-{name}", "IMAGES": IMAGES, **ports, **images.ensure()}


def docker(*arguments: str, check: bool = True) -> str:
    """What a docker command prints, both streams."""
    done = subprocess.run(
        ["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}"
    return done.stdout.strip()


@cache
def image(server: str, interface: str = "") -> str:
    """The image that a server runs in; another than the usual one is built when a test first asks for it."""
    base = serve.choose({"SERVER": server, "INTERFACE": interface}).base
    if base != "app":
        up.build(Compose(environment("image") | {"APP_BASE": base}), [])
    return f"{IMAGES}-{base}"


def proxy_version(proxy: str) -> str:
    """The release of the proxy that the tests run, as its own program says."""
    return images.version(f"{IMAGES}-{proxy}", proxy).split()[1]


class Stack:
    """Every proxy and one app, running; `serve` puts another server in the app's place."""

    def __init__(self, name: str, folder: Path, **more: str) -> None:
        self.environment = environment(name) | EDGE | more
        self.folder = folder
        env_file = folder / "stack.env"
        env_file.write_text("".join(f"{key}='{value}'\n" for key, value in self.environment.items()))
        # In place of the user's .env, which is not the tests' business.
        self.compose = Compose(self.environment | {"COMPOSE_ENV_FILES": str(env_file)})
        self.containers = DockerCompose(ROOT, env_file=str(env_file), profiles=["*"], wait=False)
        self.serving: tuple[str, str, str] | None = None
        self.sessions: dict[tuple[str, str], niquests.Session] = {}
        self.used: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Builds what changed and starts the proxies, without an app."""
        up.build(self.compose)
        self.containers.services = list(EVERY_PROXY)
        self.containers.start()
        self.ca = self.folder / "ca.pem"
        self.ca.write_text(up.authority(self.compose))

    def stop(self) -> None:
        """Removes everything that the stack made."""
        for session in self.sessions.values():
            session.close()
        self.containers.stop(down=True)
        if self.compose.exists():  # interrupted while it started
            self.compose.undo()

    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""
        return int(self.environment[f"{proxy.upper()}_HTTPS_PORT"])

    def http_port(self, proxy: str) -> int:
        """The published port of a proxy's redirect."""
        return int(self.environment[f"{proxy.upper()}_HTTP_PORT"])

    def settings(self, server: str, interface: str, app: str, **more: str) -> None:
        """What the next app container will run."""
        self.compose.environment |= {
            "SERVER": server,
            "INTERFACE": interface,
            "APP": app,
            "WORKERS": "",
            "THREADS": "",
            "GRACE": "",
            "APP_BASE": image(server, interface).rpartition("-")[2],
        } | more
        self.compose.__dict__.pop("config", None)

    def serve(self, server: str, interface: str, app: str = "bare", **more: str) -> None:
        """Runs that server in a new app container, and waits until every proxy reaches it. The old one is killed."""
        if self.serving == (server, interface, app) and not more and self.compose.containers("app"):
            return
        self.settings(server, interface, app, **more)
        self.compose.run("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--timeout", "0", "app")
        self.serving = None if more else (server, interface, app)
        self.wait()

    def wait(self) -> None:
        """Waits until the app answers, and through every proxy."""
        up.wait_for_app(self.compose, self.compose.containers("app", everything=True))
        up.wait_for_proxies(self.compose, list(EVERY_PROXY))

    @contextmanager
    def variant(self, proxy: str, **settings: str) -> Iterator[str]:
        """One more container of a proxy, with other settings, beside the first; its address."""
        words = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
        one = self.compose.run("run", "--detach", "--no-deps", *words, proxy).split()[-1]
        try:
            template = f'{{{{(index .NetworkSettings.Networks "{self.compose.project}_edge").IPAddress}}}}'
            address = self.compose.inspect(one, template)
            assert eventually(lambda: is_healthy(one), 20), self.compose.logs(one)
            yield address
        finally:
            docker("rm", "--force", one)

    def connection(self, address: str) -> http.client.HTTPConnection:
        """A client of the proxy's container at `address`, under the site's name, that sends any path as it is."""
        connection = http.client.HTTPConnection(NAME, timeout=20)
        plain = socket.create_connection((address, 8443), timeout=20)
        connection.sock = self.tls().wrap_socket(plain, server_hostname=NAME)
        return connection

    def app(self) -> str:
        """The app's container."""
        (one,) = self.compose.containers("app", everything=True)
        return one

    def address(self, service: str, network: str) -> str:
        """The address of a service's container in a network."""
        (one,) = self.compose.containers(service)
        return self.compose.inspect(
            one, f'{{{{(index .NetworkSettings.Networks "{self.compose.project}_{network}").IPAddress}}}}'
        )

    def gateway(self) -> str:
        """The address that this host has in the proxies' network: that of a client on the host."""
        return docker(
            "network", "inspect", f"{self.compose.project}_edge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
        )

    def new_session(self, proxy: str, version: str = "1.1") -> niquests.Session:
        """A client that speaks one HTTP version only, verifies against the stack's authority, and never retries."""
        session = niquests.Session(
            base_url=f"https://{NAME}:{self.https_port(proxy)}",
            retries=0,
            disable_ipv6=True,
            disable_http1=version != "1.1",
            disable_http2=version != "2",
            disable_http3=version != "3",
        )
        session.verify = str(self.ca)
        session.trust_env = False
        if version == "3":
            # Over QUIC from the first request, where a browser would have read Alt-Svc before.
            session.quic_cache_layer[(NAME, self.https_port(proxy))] = (NAME, self.https_port(proxy))
        return session

    def session(self, proxy: str, version: str = "1.1") -> niquests.Session:
        """The client that all tests share, with its open connections.

        A QUIC connection ends without a word when it has been idle, and a client that was not looking does not know:
        one that nobody used for 10 s is made anew.
        """
        key, now = (proxy, version), time.monotonic()
        if version == "3" and key in self.sessions and now - self.used.get(key, now) > 10:
            self.sessions.pop(key).close()
        if key not in self.sessions:
            self.sessions[key] = self.new_session(proxy, version)
        self.used[key] = now
        return self.sessions[key]

    def request(self, proxy: str, method: str, path: str, version: str = "1.1", **more: Any) -> niquests.Response:
        """One request; the answer is asserted to have come over `version`."""
        answer = self.session(proxy, version).request(method, path, timeout=20, allow_redirects=False, **more)
        assert answer.http_version == {"1.1": 11, "2": 20, "3": 30}[version]
        return answer

    def get(self, proxy: str, path: str, version: str = "1.1", **more: Any) -> niquests.Response:
        """One GET."""
        return self.request(proxy, "GET", path, version, **more)

    def as_written(self, proxy: str, path: str, version: str = "1.1", **headers: str) -> niquests.Response:
        """One GET of a path as it is written here: the client neither decodes nor tidies it."""
        session = self.session(proxy, version)
        request = session.prepare_request(niquests.Request("GET", f"{session.base_url}/", headers=headers))
        request.url = f"{session.base_url}{path}"
        return session.send(request, timeout=20, allow_redirects=False)

    def sender(self, proxy: str, version: str) -> contract.Send:
        """The client as the contract wants one."""

        def send(check: contract.Check) -> contract.Answer:
            whole = check.send_body
            body = (whole[at : at + 65536] for at in range(0, len(whole), 65536)) if check.chunked and whole else whole
            answer = self.request(proxy, check.method, check.path, version, headers=check.send_headers, data=body)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return contract.Answer(answer.status_code or 0, headers, answer.content or b"")

        return send

    def tls(self) -> ssl.SSLContext:
        """A client context that trusts the stack's authority only."""
        return ssl.create_default_context(cafile=str(self.ca))

    @contextmanager
    def socket(self, proxy: str) -> Iterator[ssl.SSLSocket]:
        """A raw TLS connection to a proxy, for requests that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.https_port(proxy)), timeout=10) as plain:
            with self.tls().wrap_socket(plain, server_hostname=NAME) as secure:
                yield secure

    @contextmanager
    def stream(self, proxy: str, path: str) -> Iterator[http.client.HTTPResponse]:
        """A GET whose reply is read as it comes, piece by piece, off one connection of its own."""
        connection = http.client.HTTPSConnection(NAME, self.https_port(proxy), timeout=20, context=self.tls())
        try:
            connection.request("GET", path)
            yield connection.getresponse()
        finally:
            connection.close()

    def raw(self, proxy: str, request: bytes) -> bytes:
        """All that a proxy answers to `request` until it closes or is silent for a second."""
        answer = b""
        with self.socket(proxy) as connection:
            connection.sendall(request)
            connection.settimeout(1)
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError, ssl.SSLEOFError):
                pass
        return answer

    def in_app(self, script: str) -> str:
        """What a Python script prints inside the app's container, beside the server."""
        return docker("exec", self.app(), "python3", "-c", script)

    def log_lines(self, proxy: str, since: float = 0) -> list[dict[str, Any]]:
        """A proxy's log since a moment (Unix seconds), its JSON lines as objects."""
        (one,) = self.compose.containers(proxy)
        lines = docker("logs", "--since", str(since), one).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def eventually(what: Any, seconds: float = 10) -> Any:
    """The first true value of `what()` within `seconds`; its last value otherwise."""
    until = time.monotonic() + seconds
    while not (value := what()) and time.monotonic() < until:
        time.sleep(0.1)
    return value


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


def versions(proxy: str) -> tuple[str, ...]:
    """The HTTP versions that a proxy speaks."""
    return tuple(one for one in VERSIONS if (proxy, f"HTTP/{one}") not in proxies.LACKS)


def pairs() -> list[tuple[str, str]]:
    """Every server and interface that has a script."""
    return [(server, interface) for server, interfaces in serve.servers().items() for interface in interfaces]


def sweep() -> None:
    """Removes what an earlier run of this checkout's tests left because it was killed."""
    projects = engine.output("docker", "compose", "ls", "--all", "--quiet") or ""
    for project in projects.split():
        owner = project.removeprefix(f"{PREFIX}-").rpartition("-")[2]
        if project.startswith(f"{PREFIX}-") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            left = engine.output("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}.project={project}")
            docker("rm", "--force", *(left or "").split(), check=False)
            docker("compose", "--project-name", project, "down", "--volumes", check=False)
