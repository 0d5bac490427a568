"""C07: the web server limits the rate of a client, by the address that it really has."""

import json
import subprocess
import time
import uuid
from http.client import HTTPConnection
from pathlib import Path

import pytest

from stack import proxies
from stack.proxies import RATE_LIMIT
from tests.claims import Claim, Conclusion, Finding
from tests.claims.duties import lacks
from tests.support.stack import IMAGES, PROXIES, StackUnderTest

CLAIM = Claim("C07", "The web server limits the rate of a client")
RATE, BURST, SECONDS = 10, 20, 5
LOGIN = json.dumps({"email": "ana@example.org", "senha": 1})
JSON = {"Content-Type": "application/json"}
SPELLINGS = ("/login", "//login", "/%6cogin", "/login?a=1")


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do."""
    stack.serve("granian", "asgi")


def post(connection: HTTPConnection, path: str = "/login", **headers: str) -> tuple[int, str | None]:
    """One login: the status, and how long to wait."""
    connection.request("POST", path, LOGIN, JSON | headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["Retry-After"]


def forged() -> dict[str, str]:
    """Another word on who the client is in every request."""
    address = f"192.0.2.{uuid.uuid4().int % 250 + 1}"
    return {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}


# A client in a container of its own: half a burst of logins, and what they were answered.
OTHER = """
import http.client, json, ssl, sys
address, authority = sys.argv[1:]
context = ssl.create_default_context(cadata=authority)
context.check_hostname = False
connection, seen = http.client.HTTPSConnection(address, 8443, context=context), []
for _ in range(10):
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    connection.request("POST", "/login", '{"email": "b@example.org", "senha": 1}', headers)
    answer = connection.getresponse(); answer.read(); seen.append(answer.status)
print(json.dumps([connection.sock.getsockname()[0], seen]))
"""


@pytest.mark.parametrize("proxy", proxies.having(RATE_LIMIT))
def test_a_client_gets_its_rate_and_no_more(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    with stack.variant(proxy, LOGIN_RATE=str(RATE)) as address:
        connection = stack.connection(address)
        command = ["docker", "run", "--rm", "--network", f"{stack.compose.project}_edge", "--entrypoint", "python3"]
        command += [f"{IMAGES}-app", "-c", OTHER, address, stack.ca.read_text()]
        statuses: list[int] = []
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
            while (passed := time.monotonic() - began) < SECONDS or other.poll() is None:
                assert passed < 60, "the other client does not end"
                for path in SPELLINGS:
                    status, wait = post(connection, path, **forged())
                    assert (wait == "1") == (status == 429)
                    statuses.append(status)
            passed = time.monotonic() - began
            told, wrong = other.communicate()
        refused = statuses.count(429)
        allowed = len(statuses) - refused
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Hello, world!\n", "only logins are counted"
        time.sleep(1)  # as Retry-After says
        assert post(connection)[0] == 200
        connection.close()
    # One at once, the burst, and then the rate.
    rate = (allowed - 1 - BURST) / passed
    assert refused > SECONDS, "the client did not ask for more than it may"  # Traefik lets some wait, half a turn
    assert abs(rate - RATE) < RATE / 10, f"{rate:.2f} logins a second"
    assert other.returncode == 0, wrong
    own, seen = json.loads(told)
    assert own != stack.gateway() and seen == [200] * 10, "the other client was made to wait, too"
    finding.setdefault("rate", {})[proxy] = round(rate, 1)
    finding.setdefault("other", {})[proxy] = seen.count(429)


@pytest.mark.parametrize("proxy", proxies.lacking(RATE_LIMIT))
def test_a_proxy_without_a_rate_limit_lets_everything_pass(
    stack: StackUnderTest, proxy: str, finding: Finding, tmp_path: Path
) -> None:
    connection = stack.connection(stack.address(proxy, "edge"))
    assert {post(connection)[0] for _ in range(100)} == {200}
    connection.close()
    assert lacks(stack, proxy, RATE_LIMIT, tmp_path)
    finding.setdefault("without", {})[proxy] = proxies.lack(proxy, RATE_LIMIT)


def conclude(found: Finding) -> Conclusion:
    """Holds if every proxy has a limit within a tenth of what is set; with a limit where some have none."""
    have = [proxy for proxy in PROXIES if abs(found["rate"].get(proxy, 0) - RATE) <= RATE / 10]
    without = found.get("without", {})
    evidence = (
        f"Set to {RATE} logins a second: "
        + ", ".join(f"{proxy} let {found['rate'][proxy]} pass" for proxy in have)
        + f" over {SECONDS} s beyond a burst of {BURST}, whatever address the client named in its headers and however "
        "it wrote the path; the rest were answered 429 with Retry-After, and another client's ten logins all passed. "
        + "".join(f"{proxy}: {why}. " for proxy, why in without.items())
    ).strip()
    return Conclusion("never was" if not have else "holds with a limit" if without else "holds", evidence)
