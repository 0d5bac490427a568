"""How often one request reaches the application, where the application does not answer it well."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from stack.waiting import wait_until
from tests.support.counting import Counting, run_counting_server, run_second_server
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


@pytest.fixture(scope="module")
def second(counting: Counting) -> Iterator[Counting]:
    """A second counting server behind the same name: it stays where the first leaves."""
    with run_second_server(counting.stack) as server:
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


@pytest.mark.duty("a second container for a GET")
def test_a_get_to_a_container_that_leaves_is_answered_by_another(
    counting: Counting, second: Counting, proxy: str
) -> None:
    """As at a swap: the container that has read the request closes without an answer and refuses from then on."""
    seen: dict[str, str] = {}
    with ThreadPoolExecutor(2) as clients:  # the other client takes the turn of the second container
        for _ in range(6):
            time.sleep(1.1)  # NGINX sends nothing to a container that has closed for a second
            assert wait_until(lambda: counting.count("/") >= 0 and counting.is_listening(), 5)
            paths = [f"/leave/{next(numbers)}" for _ in range(4)]
            answers = clients.map(partial(counting.ask, proxy), SAFE * 2, paths)
            seen |= zip(paths, answers, strict=True)
    first, other = counting.counts(), second.counts()
    assert sum(first.get(path, 0) for path in seen) >= 3, "nobody met the container that leaves"
    assert max(first.get(path, 0) + other.get(path, 0) for path in seen) <= 2
    bad = [line for line in counting.stack.log_lines(proxy) if seen.get(line.get("path", ""), "200") != "200"]
    assert Counter(seen.values()) == {"200": len(seen)}, "\n".join(map(str, bad))


def test_a_request_without_an_answer_takes_nothing_from_the_next(counting: Counting, proxy: str) -> None:
    for fault in FAULTS:
        assert count_arrivals(counting, proxy, "POST", fault) <= 1
        answers = [counting.ask(proxy, "GET", f"/status/200/{next(numbers)}") for _ in range(5)]
        assert answers == ["200"] * 5, fault
