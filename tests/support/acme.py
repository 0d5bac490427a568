"""An ACME server beside a stack, the certificates that its proxies serve, and clients that count failed requests."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import ROOT
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.engine import client, exec_in, read_logs, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest

NAME = "shop.example"  # the site's name
TLS_PORT = 8443


class Pebble:
    """A pebble in a container on a stack's network `edge`: https://pebble:14000/dir, or another name."""

    def __init__(self, container: str) -> None:
        self.container = container

    def point(self, *names: str, at: str) -> None:
        """Gives these names an address."""
        for name in names:
            body = json.dumps({"host": f"{name}.", "addresses": [at]}).encode()
            script = f"import urllib.request as r; r.urlopen('http://127.0.0.1:8055/clear-a', {body!r}); "
            script += f"r.urlopen('http://127.0.0.1:8055/add-a', {body!r})"
            exec_in(self.container, "python3", "-c", script)

    def read_root(self) -> str:
        """The root (PEM) of the certificates that it signs."""
        script = (
            "import ssl, urllib.request as r; c = ssl._create_unverified_context(); "
            "print(r.urlopen('https://127.0.0.1:15000/roots/0', context=c).read().decode())"
        )
        return exec_in(self.container, "python3", "-c", script)

    def read_log(self) -> str:
        """All that it has printed."""
        return read_logs(self.container)


@contextmanager
def run_pebble(
    stack: StackUnderTest, ca: Path, validity: int, name: str = "pebble", http_port: int = 8080, tls_port: int = 8443
) -> Iterator[Pebble]:
    """Runs a pebble, and writes the authority of its own TLS certificate into `ca`. `validity`: seconds."""
    image = f"{IMAGES}-pebble"
    base = stack.compose.environment["PYTHON_IMAGE"]
    command = ["docker", "buildx", "build", "--load", "--quiet", "--tag", image, "--label", f"{LABEL}.project={IMAGES}"]
    subprocess.run([*command, "--build-arg", f"PYTHON_IMAGE={base}", "tests/acme"], cwd=ROOT, check=True)
    environment = {
        "NAME": name,
        "VALIDITY": str(validity),
        "HTTP_PORT": str(http_port),
        "TLS_PORT": str(tls_port),
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": "0",
        "PEBBLE_AUTHZREUSE": "0",  # each renewal is a new proof
    }
    labels = {f"{LABEL}.project": stack.compose.project}  # leftovers of a killed run are removed by their project
    container = run_detached(image, environment=environment, labels=labels, network_mode="none")
    try:
        client().api.disconnect_container_from_network(container, "none")
        connect(stack, container, name)
        assert wait_until(lambda: "ACME directory available" in read_logs(container), 20), read_logs(container)
        ca.write_text(exec_in(container, "cat", "/tmp/cert.pem") + "\n")
        yield Pebble(container)
    finally:
        remove(container)


def connect(stack: StackUnderTest, container: str, name: str = "pebble") -> None:
    """Joins the network of the proxies."""
    client().api.connect_container_to_network(container, stack.network("edge"), aliases=[name])


def make_context(*authorities: str) -> ssl.SSLContext:
    """Trusts these authorities (PEM) only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in authorities:
        context.load_verify_locations(cadata=authority)
    return context


def read_certificate(address: str, context: ssl.SSLContext) -> bytes:
    """The certificate (DER) that a proxy serves for the site; empty where that is refused, or not trusted."""
    try:
        with socket.create_connection((address, TLS_PORT), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname=NAME) as connection:
                return connection.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


class KeptConnections:
    """Clients of one proxy, each with a connection of its own that it keeps, idle for some milliseconds at a time.

    No request is repeated: a request that gets no answer counts, even where the proxy has closed an idle connection.
    """

    def __init__(self, address: str, context: ssl.SSLContext, clients: int) -> None:
        self.address, self.context = address, context
        self.answers: Counter[str] = Counter()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(0.01 + n / 100,), daemon=True) for n in range(clients)]

    def ask(self, pause: float) -> None:
        """Sends requests until the end, with pauses of so many seconds."""
        connection: http.client.HTTPConnection | None = None
        while not self.over.wait(pause):
            try:
                connection = connection or self.open()
                connection.request("GET", "/ready", headers={"Host": NAME})
                reply = connection.getresponse()
                reply.read()
                self.answers[str(reply.status)] += 1
                if reply.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection = None
        if connection:
            connection.close()

    def open(self) -> http.client.HTTPConnection:
        """A new connection."""
        connection = http.client.HTTPConnection(NAME, timeout=20)
        plain = socket.create_connection((self.address, TLS_PORT), timeout=20)
        connection.sock = self.context.wrap_socket(plain, server_hostname=NAME)
        return connection

    def __enter__(self) -> "KeptConnections":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(timeout=30)
