"""What a client writes about itself, its request and its connection reaches no application.

The headers are generated: every name of stack/reserved_headers.py, in every spelling with underscores. A new proxy, a
new server and a new name are tested without a change here.
"""

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from stack.reserved_headers import FAMILIES, NAMES, SET, aliases
from tests.support.clients import SITE
from tests.support.engine import address_in
from tests.support.stack import StackUnderTest

BATCH = 50  # headers in one request. Some servers and proxies accept 100
VALUE = "forged"
ALIASES = [alias for name in NAMES for alias in aliases(name)]
# What WSGI would take for a header that the proxy sets, or for the mount point of the application.
FOLDED = [alias for name in (*SET, "Script-Name", "Path-Info", "Daphne-Root-Path") for alias in aliases(name)]


def batches(names: list[str]) -> Iterator[dict[str, str]]:
    """The names as headers of several requests, each with a value that shows where it came from."""
    for start in range(0, len(names), BATCH):
        yield {name: f"{VALUE} {name}" for name in names[start : start + BATCH]}


def find_forged(answer: str) -> list[str]:
    """The names whose values the application saw, as the client wrote the names."""
    return re.findall(rf"{VALUE} ([\w-]+)", answer)


def ask_raw(stack: StackUnderTest, proxy: str, *lines: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the object that a request with these header lines gets; an empty object where it is refused."""
    head = b"\r\n".join((b"GET /request HTTP/1.1", b"Host: " + SITE.encode(), *lines))
    with stack.socket(proxy) as connection:
        connection.sendall(head + b"\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            body = response.read()
        except http.client.HTTPException:
            return 0, {}
    return response.status, json.loads(body) if response.status == 200 else {}


@pytest.mark.usefixtures("any_app")
def test_no_reserved_header_of_a_client_reaches_the_app(stack: StackUnderTest, proxy: str, version: str) -> None:
    for headers in batches([*NAMES, *ALIASES]):
        answer = stack.get(proxy, "/request", version, headers=headers)
        assert answer.status_code == 200
        assert find_forged(answer.text or "") == []
        assert answer.json()["client"][0] == stack.gateway()


@pytest.mark.usefixtures("any_app")
@pytest.mark.duty("reserved prefixes")
def test_a_reserved_prefix_covers_names_that_nobody_knows(stack: StackUnderTest, proxy: str, version: str) -> None:
    (headers,) = batches([f"{prefix.removesuffix('-')}-Unknown" for prefix in FAMILIES])
    assert find_forged(stack.get(proxy, "/request", version, headers=headers).text or "") == []


@pytest.mark.usefixtures("any_app")
@pytest.mark.duty("names with underscores")
def test_no_name_with_an_underscore_reaches_the_app(stack: StackUnderTest, proxy: str, version: str) -> None:
    (headers,) = batches(["My_Header", "_Leading", "Trailing_", "X-Mixed_Name"])
    assert find_forged(stack.get(proxy, "/request", version, headers=headers).text or "") == []


@pytest.mark.usefixtures("any_app")
@pytest.mark.parametrize("extra", [b"close", b"keep-alive", b"x, y"])
def test_what_connection_names_removes_nothing_of_the_proxy(stack: StackUnderTest, proxy: str, extra: bytes) -> None:
    plain = ask_raw(stack, proxy, b"Connection: close")[1]
    names = b", ".join(name.encode() for name in (*SET, "Host", "Forwarded"))
    status, seen = ask_raw(stack, proxy, b"Connection: " + names, b"connection: " + extra + b", " + names)
    assert (status, seen["client"], seen["scheme"]) == (200, plain["client"], "https")
    assert seen["headers"].keys() >= plain["headers"].keys() - {"connection"}, "what the proxy sets is there"


STRANGE_NAMES = (
    *(b"X-Forwarded-For" + byte + b": 6.6.6.6" for byte in (b" ", b"\t", b"\x00", b"\x0b", b"\x85", b"\xff", b"\r")),
    *(byte + b"X-Forwarded-For: 6.6.6.6" for byte in (b"\x00", b"\x0b", b"\xff", b":")),
    b"X-Forwarded-For",
    b"X-Forwarded-F\xf6r: 6.6.6.6",
    b"X-Probe: a\r\n\tX-Forwarded-For: 6.6.6.6",  # a folded line belongs to the value before it
    b"X-Probe: a\nX-Forwarded-For: 6.6.6.6",
    b"X-Probe: a\rX-Forwarded-For: 6.6.6.6",
    b"X.Forwarded.For: 6.6.6.6",
    b"X~Forwarded~For: 6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7",
    b"x-forwarded-FOR: 6.6.6.6, 7.7.7.7",
    b"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: ws\r\nX-Forwarded-Ssl: off\r\nX-Forwarded-Protocol: http",
    b"Forwarded: for=6.6.6.6;proto=http;host=evil\r\nForwarded: for=7.7.7.7",
)


@pytest.mark.usefixtures("any_app")
def test_no_strange_spelling_names_the_client(stack: StackUnderTest, proxy: str) -> None:
    for line in STRANGE_NAMES:
        status, seen = ask_raw(stack, proxy, line, b"Connection: close")
        assert status in (0, 200, 400), line
        if status == 200:
            headers = seen["headers"]
            assert (seen["client"][0], seen["scheme"]) == (stack.gateway(), "https"), line
            assert headers["x-forwarded-for"] == headers["x-real-ip"] == stack.gateway(), line
            assert headers["x-forwarded-proto"] == "https", line


@pytest.mark.usefixtures("any_app")
def test_a_second_host_is_refused(stack: StackUnderTest, proxy: str) -> None:
    for host in (b"evil.example", SITE.encode() + b":1", b""):
        assert ask_raw(stack, proxy, b"Host: " + host, b"Connection: close")[0] == 400, host


def test_no_spelling_reaches_a_server_that_folds_names(served: StackUnderTest, proxy: str) -> None:
    headers = {name: f"{VALUE} {name}" for name in FOLDED} | {"SCRIPT_NAME": "/x"}
    answer = served.get(proxy, "/request", headers=headers)
    seen = answer.json()
    assert find_forged(answer.text or "") == []
    assert (seen["root_path"], seen["path"], seen["client"][0]) == ("", "/request", served.gateway())
    assert served.get(proxy, "/x/admin/x", headers={"SCRIPT_NAME": "/x"}).status_code == 404


def test_a_header_moves_no_application(served: StackUnderTest) -> None:
    """Without a proxy, from an address that the server trusts: a proxy that let such a header pass opens nothing."""
    connection = http.client.HTTPConnection(address_in(served.app(), served.network("backend")), 8000, timeout=10)
    for headers in ({"SCRIPT_NAME": "/x"}, {"Script-Name": "/x"}, {"SCRIPT_NAME": "/x", "PATH_INFO": "/admin/x"}):
        connection.request("GET", "/x/admin/x", headers=headers | {"Connection": "close"})
        answer = connection.getresponse()
        assert (answer.status, b"admin area" in answer.read()) == (404, False), headers
