"""A server in the app's place that counts the requests that reach it: counting_server.py, in a container."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from stack import ROOT
from stack.compose import LABEL
from stack.swap import DNS_SECONDS
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, client, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest


class Counting:
    """The running server, and a client that asks it through a proxy."""

    def __init__(self, stack: StackUnderTest, address: str) -> None:
        self.stack, self.address = stack, address

    def ask(self, proxy: str, method: str, path: str) -> str:
        """Sends one request on a connection of its own; the status, or the error."""
        body = b"x" if method in ("POST", "PUT", "PATCH") else None
        port = self.stack.https_port(proxy)
        with closing(http.client.HTTPSConnection(SITE, port, timeout=20, context=self.stack.tls())) as connection:
            try:
                connection.request(method, path, body)
                return str(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                return type(error).__name__

    def counts(self) -> dict[str, int]:
        """How many requests have reached the server, by request target. A character stands for each byte."""
        with closing(http.client.HTTPConnection(self.address, 8001, timeout=10)) as connection:
            connection.request("GET", "/")
            return dict(json.loads(connection.getresponse().read()))

    def count(self, path: str) -> int:
        """How many requests for a path have reached the server."""
        return self.counts().get(path, 0)

    def is_listening(self) -> bool:
        """Whether the server takes connections. One that has left listens again after the question for its counts."""
        with socket.socket() as probe:
            return probe.connect_ex((self.address, 8000)) == 0


@contextmanager
def run_counting_server(stack: StackUnderTest) -> Iterator[Counting]:
    """The counting server, in place of the app, which every proxy has found."""
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    with run_server(stack) as server:
        for proxy in stack.proxies:
            assert wait_until(lambda proxy=proxy: server.ask(proxy, "GET", "/") == "200", 20), proxy
        yield server


@contextmanager
def run_second_server(stack: StackUnderTest) -> Iterator[Counting]:
    """A counting server that stays, beside another; the proxies have asked the DNS since its start."""
    with run_server(stack, "stays") as server:
        time.sleep(DNS_SECONDS)
        yield server


@contextmanager
def run_server(stack: StackUnderTest, *words: str) -> Iterator[Counting]:
    """A container of the server with the app's name."""
    network = stack.network("backend")
    alias = {network: client().api.create_endpoint_config(aliases=[stack.app_name()])}
    labels = {f"{LABEL}.project": stack.compose.project, f"{LABEL}.service": "counting"}
    command = ("python3", "-c", (ROOT / "tests/support/counting_server.py").read_text(), *words)
    container = run_detached(f"{IMAGES}-app", *command, labels=labels, network=network, networking_config=alias)
    try:
        server = Counting(stack, address_in(container, network))
        assert wait_until(server.is_listening, 20)
        yield server
    finally:
        remove(container)
