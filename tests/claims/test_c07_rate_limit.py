"""C07: the web server limits the rate of a client, by the real address of the connection."""

import json
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from stack import proxies
from stack.proxies import RATE_LIMIT
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.duties import lacks
from tests.claims.support.side_by_side import list_proxies
from tests.support.engine import run_once
from tests.support.stack import IMAGES, PROXIES, StackUnderTest

CLAIM = Claim("C07", "The web server limits the rate of a client")
RATE, BURST, SECONDS = 10, 20, 5  # logins a second, logins at once, and how long the client asks
LOGIN = json.dumps({"email": "ana@example.org", "senha": 1})
JSON = {"Content-Type": "application/json"}
SPELLINGS = ("/login", "//login", "/%6cogin", "/login?a=1")


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do, because the proxy has the limit."""
    stack.serve("granian", "asgi")


def post(connection: HTTPConnection, path: str = "/login", **headers: str) -> tuple[int, str | None]:
    """Sends one login: the status, and the seconds that the client is told to wait."""
    connection.request("POST", path, LOGIN, JSON | headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["Retry-After"]


def forge_address() -> dict[str, str]:
    """Headers that name another client address in every request."""
    address = f"192.0.2.{uuid.uuid4().int % 250 + 1}"
    return {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}


# A client in a container of its own: half a burst of logins, its address, and the statuses of the answers.
OTHER_CLIENT = """
import http.client, json, ssl, sys
address, authority = sys.argv[1:]
context = ssl.create_default_context(cadata=authority)
context.check_hostname = False
connection, statuses = http.client.HTTPSConnection(address, 8443, context=context), []
for _ in range(10):
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    connection.request("POST", "/login", '{"email": "b@example.org", "senha": 1}', headers)
    answer = connection.getresponse(); answer.read(); statuses.append(answer.status)
print(json.dumps([connection.sock.getsockname()[0], statuses]))
"""


class Measurement(NamedTuple):
    """What a client with many logins got in `seconds`, and a second client that came meanwhile."""

    statuses: list[int]
    seconds: float
    page: bytes
    status_after_waiting: int
    other_address: str
    other_statuses: list[int]


def measure(stack: StackUnderTest, proxy: str) -> Measurement:
    """Sends logins for SECONDS through one proxy, while another client sends ten."""
    with stack.variant(proxy, LOGIN_RATE=str(RATE)) as address, ThreadPoolExecutor(1) as pool:
        connection = stack.connection(address)
        arguments = ("-c", OTHER_CLIENT, address, stack.ca.read_text())
        network = f"{stack.compose.project}_edge"
        statuses: list[int] = []
        began = time.monotonic()
        other = pool.submit(run_once, f"{IMAGES}-app", *arguments, entrypoint="python3", network=network)
        while (passed := time.monotonic() - began) < SECONDS or not other.done():
            assert passed < 60, "the other client does not end"
            for path in SPELLINGS:
                status, wait = post(connection, path, **forge_address())
                assert (wait == "1") == (status == 429)
                statuses.append(status)
        passed = time.monotonic() - began
        other_address, other_statuses = json.loads(other.result())
        connection.request("GET", "/")
        page = connection.getresponse().read()
        time.sleep(1)  # as Retry-After says
        after_waiting, _ = post(connection)
        connection.close()
    return Measurement(statuses, passed, page, after_waiting, other_address, other_statuses)


@pytest.fixture(scope="module")
def measurements(request: pytest.FixtureRequest, stack: StackUnderTest) -> Iterator[dict[str, Future[Measurement]]]:
    """By proxy, side by side, because a measurement takes SECONDS on any machine."""
    stack.serve("granian", "asgi")
    limiting = list_proxies(request)
    with ThreadPoolExecutor(len(limiting)) as pool:
        yield {proxy: pool.submit(measure, stack, proxy) for proxy in limiting}


@pytest.mark.parametrize("proxy", proxies.having(RATE_LIMIT))
def test_a_client_gets_its_rate_and_no_more(
    stack: StackUnderTest, measurements: dict[str, Future[Measurement]], proxy: str, finding: Finding
) -> None:
    measured = measurements[proxy].result()
    refused = measured.statuses.count(429)
    allowed = len(measured.statuses) - refused
    assert measured.page == b"Hello, world!\n", "only logins are counted"
    assert measured.status_after_waiting == 200
    # One login at once, the burst, and then the rate.
    rate = (allowed - 1 - BURST) / measured.seconds
    assert refused > SECONDS, "the client did not ask for more than it may"  # Traefik delays some for up to 0.5 s
    assert abs(rate - RATE) < RATE / 10, f"{rate:.2f} logins a second"
    assert measured.other_address != stack.gateway()
    assert measured.other_statuses == [200] * 10, "the other client was made to wait too"
    finding.setdefault("rate", {})[proxy] = round(rate, 1)
    finding.setdefault("other", {})[proxy] = measured.other_statuses.count(429)


@pytest.mark.parametrize("proxy", proxies.lacking(RATE_LIMIT))
def test_a_proxy_without_a_rate_limit_lets_everything_pass(
    stack: StackUnderTest, proxy: str, finding: Finding, tmp_path: Path
) -> None:
    connection = stack.connection(stack.address(proxy, "edge"))
    # A login is two writes. Without this option the second write waits 40 ms for the acknowledgement of the first.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert {post(connection)[0] for _ in range(100)} == {200}
    connection.close()
    assert lacks(stack, proxy, RATE_LIMIT, tmp_path)
    finding.setdefault("without", {})[proxy] = proxies.lack(proxy, RATE_LIMIT)


def conclude(finding: Finding) -> Conclusion:
    """Holds if every proxy has a limit within a tenth of the setting; with a limit where a proxy has none."""
    exact = [proxy for proxy in PROXIES if abs(finding["rate"].get(proxy, 0) - RATE) <= RATE / 10]
    without = finding.get("without", {})
    evidence = (
        f"Set to {RATE} logins a second: "
        + ", ".join(f"{proxy} let {finding['rate'][proxy]} pass" for proxy in exact)
        + f" over {SECONDS} s beyond a burst of {BURST}, whatever address the client named in its headers and however "
        "it wrote the path; the rest were answered 429 with Retry-After, and another client's ten logins all passed. "
        + "".join(f"{proxy}: {reason}. " for proxy, reason in without.items())
    ).strip()
    return Conclusion("never was" if not exact else "holds with a limit" if without else "holds", evidence)
