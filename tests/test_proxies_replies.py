"""What browsers learn on every reply, whoever made it: security headers, the request id, Alt-Svc and HSTS."""

import re

import pytest

from apps.work import OWN_POLICIES
from stack import proxies
from tests.support.raw_clients import Reply, parse, send_all, send_bytes
from tests.support.stack import PUBLIC, StackUnderTest, spoken_versions

pytestmark = pytest.mark.usefixtures("any_app")

# Requests that a proxy refuses by its rules, or answers with an error: the method, the path and the headers.
REFUSALS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("GET", "/nowhere", {}),
    ("GET", "/status/500", {}),
    ("GET", "/admin/x", {}),
    ("GET", "/x/../y", {}),
    ("GET", "/static/nothing", {}),
    ("GET", "/static/hello.txt", {"Range": "bytes=9999-"}),
    ("POST", "/static/hello.txt", {}),
    ("TRACE", "/", {}),
    ("GET", "/", {}),
)
# Requests that a proxy refuses while it reads the head.
MALFORMED = {
    "no target": b"GET\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "a target without a slash": b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
    "a long line": b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 40000),
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"a" * 40000),
}


def make_get(path: str, host: str) -> bytes:
    """A GET of HTTP/1.1."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def find_fault(proxy: str, reply: Reply) -> str:
    """Which header of the reply is missing, or has another value than every reply has; "" where none."""
    expected = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "strict-origin-when-cross-origin",
    }
    for name, value in expected.items():
        if set(reply.headers.get(name, [])) != {value}:
            return f"{name}: {reply.headers.get(name)}"
    if (proxy, "request id") not in proxies.LACKS and len(reply.headers.get("x-request-id", [""])[0]) < 32:
        return "no request id"
    return ""


def find_leak(stack: StackUnderTest, proxy: str, reply: Reply) -> str:
    """What the reply says that no reply may say: a release, HSTS for localhost, or a port of the container."""
    for name in ("server", "via", "x-powered-by"):
        if re.search(r"\d", "".join(reply.headers.get(name, []))):
            return f"{name}: {reply.headers[name]}"
    if "strict-transport-security" in reply.headers:
        return "HSTS, which a browser would remember for a developer's localhost"
    offers = set(reply.headers.get("alt-svc", []))
    own = f'h3=":{stack.https_port(proxy)}"; ma='
    return f"alt-svc: {offers}" if any(not offer.startswith(own) for offer in offers) else ""


def test_refusals_carry_what_other_replies_do(stack: StackUnderTest, proxy: str, version: str) -> None:
    for method, path, headers in REFUSALS:
        if path == "/x/../y":
            answer = stack.as_written(proxy, path, version, **headers)
        else:
            answer = stack.request(proxy, method, path, version, headers={"Accept-Encoding": "identity", **headers})
        seen = {name.lower(): value.split(", ") for name, value in answer.headers.items() if name != "alt-svc"}
        seen["alt-svc"] = [answer.headers["alt-svc"].split(", ")[0]] if "alt-svc" in answer.headers else []
        reply = Reply(answer.status_code or 0, seen, b"")
        assert not find_fault(proxy, reply), (method, path, find_fault(proxy, reply))
        assert not find_leak(stack, proxy, reply), (method, path, find_leak(stack, proxy, reply))
        if version != "3":  # Traefik does not repeat the offer there
            assert bool(seen["alt-svc"]) == ("3" in spoken_versions(proxy)), (method, path)


def test_a_redirect_carries_the_headers_too(stack: StackUnderTest, proxy: str) -> None:
    reply = parse(send_bytes(stack.http_port(proxy), make_get("/x", "localhost"), None))
    assert reply.status in (301, 308)
    assert not find_fault(proxy, reply)
    assert not find_leak(stack, proxy, reply)


@pytest.mark.duty("headers on malformed requests")
def test_a_malformed_request_gets_the_headers_too(stack: StackUnderTest, proxy: str) -> None:
    for name, request in MALFORMED.items():
        reply = parse(send_bytes(stack.https_port(proxy), request, stack.tls()))
        assert reply.status >= 400, name
        assert not find_fault(proxy, reply), (name, find_fault(proxy, reply))


def test_a_malformed_request_learns_nothing(stack: StackUnderTest, proxy: str) -> None:
    for reply in send_all(stack.https_port(proxy), MALFORMED.values(), stack.tls()):
        assert not find_leak(stack, proxy, reply), find_leak(stack, proxy, reply)


@pytest.mark.duty("the application's own security headers")
def test_the_security_headers_of_an_application_win(stack: StackUnderTest, proxy: str) -> None:
    reply = parse(send_bytes(stack.https_port(proxy), make_get("/policies", PUBLIC), stack.tls()))
    assert reply.headers["x-content-type-options"] == ["nosniff"]
    for name, value in OWN_POLICIES.items():
        assert reply.headers[name] == [value], name


def test_hsts_is_for_public_names_only(stack: StackUnderTest, proxy: str) -> None:
    paths = ("/", "/status/500", "/nowhere", "/admin/x", "/x/../y", "/static/nothing", "/policies")
    for host, is_public in ((PUBLIC, True), (f"{PUBLIC}:8443", True), ("localhost", False), ("127.0.0.1", False)):
        requests = [make_get(path, host) for path in paths]
        for path, reply in zip(paths, send_all(stack.https_port(proxy), requests, stack.tls()), strict=True):
            values = reply.headers.get("strict-transport-security", [])
            assert len(values) == is_public, (host, path, values)
            if path != "/policies":
                assert values in ([], ["max-age=63072000"]), (host, path)
