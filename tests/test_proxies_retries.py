"""How often one request reaches the application, where the application does not answer it well."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.counting import Counting, run_counting_server
from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.full
SAFE, UNSAFE = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")
FAULTS = ("close", "reset", "half", "early")
# Bodies that a proxy may send on before it finds the fault.
BAD_BODIES = {
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\nhello\r\n0\r\n\r\n",
    "over the limit": b"Transfer-Encoding: chunked\r\n\r\n" + b"100000\r\n" + b"x" * 2**20 + b"\r\n",
}
numbers = itertools.count()


@pytest.fixture(scope="module")
def counting(stack: StackUnderTest) -> Iterator[Counting]:
    """The counting server, which every proxy has found."""
    with run_counting_server(stack) as server:
        yield server


def count_arrivals(counting: Counting, proxy: str, method: str, fault: str) -> int:
    """How often one request with that fault reaches the server."""
    path = f"/{fault}/{next(numbers)}"
    counting.ask(proxy, method, path)
    return counting.count(path)


def test_a_request_without_an_answer_is_sent_twice_at_most(counting: Counting, proxy: str) -> None:
    seen = {
        (method, fault): count_arrivals(counting, proxy, method, fault)
        for method in (*SAFE, *UNSAFE)
        for fault in FAULTS
    }
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
        assert count_arrivals(counting, proxy, method, "close") <= 2
