"""Which request targets and Host headers reach the application, and what it reads in them, by version of HTTP."""

import json
import re

import pytest

from tests.support.raw_clients import Reply, ask, make_head, send_all
from tests.support.stack import StackUnderTest
from tests.support.targets import READ, REFUSED, URLS, make_request, make_target

pytestmark = pytest.mark.usefixtures("any_app")

# The value of `:path` in HTTP/2 and HTTP/3, which need no line and so no spaces to separate it.
PATHS = [
    "request",
    "",
    "?/request",
    "#/request",
    "x:request",
    "x:%2frequest",
    "https:%2frequest",
    "x:/request",
    "https://localhost/request",
    "https://evil.example/request",
    "localhost:8443",
    "localhost/request",
    "%2frequest",
    "./request",
    "\\request",
    "/request#",
    "/request\x00",
    "/request HTTP/1.1\r\nX-Probe: a",
    "/request\nX-Probe: a",
]
# Spellings of Host. `evil` is what no application may see.
HOSTS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost:",
    "localhost:8443",
    "localhost:99999",
    "localhost:99999999",
    "localhost:evil",
    "localhost:-1",
    "localhost:0x50",
    "localhost: 1",
    "localhost:8443:evil",
    "evil@localhost",
    "evil:evil@localhost",
    "localhost/evil",
    "localhost\\evil",
    "localhost?evil",
    "localhost#evil",
    "localhost\tevil",
    "localhost evil",
    "localhost,evil",
    "localhost;evil",
    "localhost%00evil",
    "localhost\x00evil",
    "loc%61lhost",
    "evil.localhost",
    "localhost..",
    "[localhost]",
    "[::1]",
    "127.0.0.1",
    "127.1",
    "",
    "evil.example",
    "localhost\r\nHost: evil",
    "evil\r\nHost: localhost",
    "localhost\r\nHost: localhost",
    "localhost\r\n evil",
    "localhost\r\nHost : evil",
    "localhost\r\nX-Forwarded-Host: evil",
    "localhost\r\nX-Host: localhost",
]
CHECKED_HOST = re.compile(r"(localhost\.?|127\.0\.0\.1)(:[0-9]{0,5})?", re.IGNORECASE)


def is_refused(reply: Reply) -> bool:
    """Whether the proxy itself refused: closed, answered 400, or 404 (Traefik, for unknown hosts)."""
    return reply.status in (0, 400, 404) and b"no such path" not in reply.body


def find_fault(reply: Reply) -> str:
    """What is wrong where the application answered /request; "" where it saw that path and a Host that was checked."""
    if reply.status != 200 or b'"headers"' not in reply.body:
        return f"status {reply.status}, {reply.body[:80]!r}"
    request = json.loads(reply.body)
    hosts = [request["headers"][name] for name in ("host", "x-forwarded-host") if name in request["headers"]]
    if request["path"] != "/request" or "x-probe" in request["headers"]:
        return f"the path {request['path']!r}"
    return "" if hosts and all(map(CHECKED_HOST.fullmatch, hosts)) and len(set(hosts)) == 1 else f"the hosts {hosts}"


def test_only_a_path_or_a_url_is_a_target(stack: StackUnderTest, proxy: str) -> None:
    forms = READ + URLS + REFUSED
    requests = [make_request(make_target(form, "/request")) for form in forms]
    for form, reply in zip(forms, send_all(stack.https_port(proxy), requests, stack.tls()), strict=True):
        if form in REFUSED:
            assert is_refused(reply), (form, reply)
        elif form in READ or not is_refused(reply):
            assert not find_fault(reply), (form, find_fault(reply))


@pytest.fixture(params=["2", "3"], ids="http{}".format)
def version(request: pytest.FixtureRequest) -> str:
    """The versions that have pseudo-headers."""
    return request.param


def test_a_path_of_http_2_and_3_is_a_path(stack: StackUnderTest, proxy: str, version: str) -> None:
    right, *replies = ask(stack, proxy, version, [make_head(path) for path in ("/request", *PATHS)])
    assert not find_fault(right)
    for path, reply in zip(PATHS, replies, strict=True):
        # Traefik reads the path of a URL there.
        assert is_refused(reply) or not find_fault(reply), (path, reply)


def test_no_path_of_http_2_and_3_reaches_the_admin_area(stack: StackUnderTest, proxy: str, version: str) -> None:
    paths = [path.replace("request", "admin/x") for path in PATHS] + ["*", "/admin/x\x7f", "/ admin/x"]
    heads = [make_head(path) for path in paths]
    heads += [make_head("/admin/x", scheme=scheme) for scheme in ("http", "x", "https://localhost/x?")]
    heads += [make_head("/admin/x", method=method) for method in ("CONNECT", "GET /x HTTP/1.1\r\nX:", "get", "\x00")]
    for head, reply in zip(heads, ask(stack, proxy, version, heads), strict=True):
        assert b"the admin area" not in reply.body, head


def test_the_app_sees_a_host_that_was_checked(stack: StackUnderTest, proxy: str) -> None:
    requests = [make_request("/request", host) for host in HOSTS]
    replies = send_all(stack.https_port(proxy), requests, stack.tls())
    assert not find_fault(replies[0])
    for host, reply in zip(HOSTS, replies, strict=True):
        assert is_refused(reply) or not find_fault(reply), (host, find_fault(reply))


def test_the_app_sees_an_authority_that_was_checked(stack: StackUnderTest, proxy: str, version: str) -> None:
    hosts = [host for host in HOSTS if host.isascii()]
    heads = [make_head("/request", host) for host in hosts]
    heads += [(*make_head("/request"), ("host", host)) for host in ("evil.example", "localhost:evil", "127.0.0.1")]
    without = [pair for pair in make_head("/request") if pair[0] != ":authority"]
    heads += [(*without, ("host", host)) for host in ("localhost", "evil.example")]
    for head, reply in zip(heads, ask(stack, proxy, version, heads), strict=True):
        assert is_refused(reply) or not find_fault(reply), (head, find_fault(reply))
