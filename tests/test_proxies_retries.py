"""How often one request reaches the application, where the application does not answer it well."""

import http.client
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from stack import ROOT
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, client, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest

pytestmark = pytest.mark.full
SAFE, UNSAFE = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")
FAULTS = ("close", "reset", "half", "early")
# Bodies that a proxy may send on before it finds the fault.
BAD_BODIES = {
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\nhello\r\n0\r\n\r\n",
    "over the limit": b"Transfer-Encoding: chunked\r\n\r\n" + b"100000\r\n" + b"x" * 2**20 + b"\r\n",
}
numbers = itertools.count()


class Counting:
    """A server in the app's place that counts what reaches it: tests/support/counting_server.py."""

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

    def count(self, path: str) -> int:
        """How many requests for a path have reached the server."""
        with closing(http.client.HTTPConnection(self.address, 8001, timeout=10)) as connection:
            connection.request("GET", "/")
            return int(json.loads(connection.getresponse().read()).get(path, 0))

    def arrivals(self, proxy: str, method: str, fault: str) -> int:
        """How often one request with that fault reaches the server."""
        path = f"/{fault}/{next(numbers)}"
        self.ask(proxy, method, path)
        return self.count(path)


@pytest.fixture(scope="module")
def counting(stack: StackUnderTest) -> Iterator[Counting]:
    """The counting server, which every proxy has found."""
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    network = stack.network("backend")
    alias = {network: client().api.create_endpoint_config(aliases=["app", stack.app_name()])}
    labels = {f"{LABEL}.project": stack.compose.project, f"{LABEL}.service": "counting"}
    script = (ROOT / "tests/support/counting_server.py").read_text()
    container = run_detached(
        f"{IMAGES}-app", "python3", "-c", script, labels=labels, network=network, networking_config=alias
    )
    try:
        server = Counting(stack, address_in(container, network))
        for proxy in stack.proxies:
            assert wait_until(lambda proxy=proxy: server.ask(proxy, "GET", "/") == "200", 20), proxy
        yield server
    finally:
        remove(container)


def test_a_request_without_an_answer_is_sent_twice_at_most(counting: Counting, proxy: str) -> None:
    seen = {(method, fault): counting.arrivals(proxy, method, fault) for method in (*SAFE, *UNSAFE) for fault in FAULTS}
    assert {case: count for case, count in seen.items() if count > (2 if case[0] in SAFE else 1)} == {}
    assert min(seen.values()) > 0, seen


def test_the_apps_own_status_is_no_reason_to_ask_again(counting: Counting, proxy: str) -> None:
    for method in (*SAFE, *UNSAFE):
        for status in ("500", "502", "503", "504"):
            path = f"/status/{status}/{next(numbers)}"
            assert counting.ask(proxy, method, path) == status
            assert counting.count(path) == 1, (method, status)


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_get_with_a_bad_body_is_sent_twice_at_most(counting: Counting, proxy: str, body: str) -> None:
    path = f"/early/{next(numbers)}"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with counting.stack.socket(proxy) as connection:
        try:
            connection.sendall(head.encode() + BAD_BODIES[body])
            for _ in range(11 if body == "over the limit" else 0):
                connection.sendall(BAD_BODIES[body].partition(b"\r\n\r\n")[2])
            connection.recv(65536)
        except OSError:
            pass
    assert counting.count(path) <= 2


@pytest.mark.duty("two tries with idle connections")
def test_idle_connections_are_no_reason_to_ask_again(counting: Counting, proxy: str) -> None:
    for method in SAFE:
        with ThreadPoolExecutor(6) as clients:  # six requests at once, whose connections the proxy keeps
            assert set(clients.map(lambda _: counting.ask(proxy, "GET", "/hold"), range(6))) == {"200"}
        assert counting.arrivals(proxy, method, "close") <= 2
