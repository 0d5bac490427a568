"""Odd but harmless characters in a path or a query, and fields after a body: what reaches the application."""

import itertools
import json
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pytest

from tests.support.counting import Counting, run_counting_server
from tests.support.raw_clients import Reply, ask, ask_http2, make_head, send_all
from tests.support.stack import StackUnderTest

# A path and a query may hold these (RFC 3986, 3.3 and 3.4). Every proxy passes them on.
LEGAL = [
    *("", ";", "a;b=c&d", "&&", "a=b=c", "+", "a+b%20c", "//", "!$&'()*,;=:@", "~-._"),
    *("%3b", "%3B", "%26", "%25", "%2b", "%41%7e", "%c3%A9"),
]
# A query may hold these, too.
IN_A_QUERY = ["?", "a?b", "?&;?", "/../", "..", "%2e%2e/", "%2f", "%2F", "%5c", "%00", "%0a", "%0d%0aX:a", "%3f", "%23"]
# No part of a URL may hold these as they are. A proxy may refuse them, and browsers send some of them.
ODD = [*'|^`"<>{}[]\\', "\xc3\xa9", "\xff", "\x7f", "%", "a%", "%4", "%zz", "%u1234"]
TARGETS = (
    [("/", each, True) for each in LEGAL]
    + [("?", each, True) for each in LEGAL + IN_A_QUERY]
    + [(place, each, False) for place in "/?" for each in ODD]
    + [("/", each, False) for each in IN_A_QUERY if each[0] == "%"]
)
numbers = itertools.count()


@pytest.fixture(scope="module")
def counting(stack: StackUnderTest) -> Iterator[Counting]:
    """The counting server, which every proxy has found."""
    with run_counting_server(stack) as server:
        yield server


def find_arrivals(counting: Counting, proxy: str, version: str, place: str) -> dict[str, str]:
    """What arrives for each target of that place; "" where the proxy refuses. Both lack the part that is unique."""
    names = {f"/{next(numbers)}": (each, is_legal) for where, each, is_legal in TARGETS if where == place}
    targets = [name + place + each for name, (each, _) in names.items()]
    if version == "1.1":
        head = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        requests = [f"GET {target}{head}".encode("latin-1") for target in targets]
        replies = send_all(counting.stack.https_port(proxy), requests, counting.stack.tls())
    else:
        replies = ask(counting.stack, proxy, version, [make_head(target) for target in targets])
    arrived = counting.counts()
    seen = {}
    for (name, (each, is_legal)), reply in zip(names.items(), replies, strict=True):
        rests = [target.removeprefix(name) for target in arrived if target.startswith((f"{name}/", f"{name}?"))]
        assert len(rests) == (reply.status == 200), (each, reply, rests)
        # Apache answers 404 to %2F and %00.
        assert rests or (not is_legal and reply.status in (0, 400, 404)), (each, reply)
        seen[place + each] = rests[0] if rests else ""
    return seen


def find_changes(counting: Counting, proxy: str, version: str, place: str) -> dict[str, str]:
    """The targets that arrive in other bytes, and these."""
    arrivals = find_arrivals(counting, proxy, version, place)
    return {target: arrived for target, arrived in arrivals.items() if arrived not in ("", target)}


@pytest.mark.full
@pytest.mark.duty("a query byte for byte")
def test_a_query_arrives_byte_for_byte(counting: Counting, proxy: str, version: str) -> None:
    assert find_changes(counting, proxy, version, "?") == {}


@pytest.mark.full
@pytest.mark.duty("a path byte for byte")
def test_a_path_arrives_byte_for_byte(counting: Counting, proxy: str, version: str) -> None:
    assert find_changes(counting, proxy, version, "/") == {}


@pytest.mark.full
@pytest.mark.parametrize("place", ["path", "query"])
def test_a_target_keeps_its_meaning(counting: Counting, proxy: str, version: str, place: str) -> None:
    changes = find_changes(counting, proxy, version, "/" if place == "path" else "?")
    for target, arrived in changes.items():
        assert unquote_to_bytes(arrived) == unquote_to_bytes(target.encode("latin-1"))
        # What separates the parts of a query or a path stays as it is.
        assert [arrived.count(each) for each in "/?&=+#"] == [target.count(each) for each in "/?&=+#"]


# Fields after a body: small, as headers that the application trusts, and larger or more than a head may be.
FIELDS = [
    b"X-Probe: evil\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n",
    b"X_Forwarded_For: 6.6.6.6\r\n",
    b"Host: evil\r\n",
    b"Authorization: evil\r\n",
    b"Content-Length: 66\r\n",
    b"Transfer-Encoding: evil\r\n",
    b"X-Probe: " + b"evil" * 750 + b"\r\n",
]
TOO_MUCH = [
    b"evil\r\n",
    b"X-Probe: evil\r\n" * 200,
    *(b"X-Probe: " + b"evil" * size + b"\r\n" for size in (1250, 2500, 5000, 10_000, 100_000)),
    (b"X-Probe: " + b"evil" * 2000 + b"\r\n") * 250,
]
BODIES = {"/request": b"5\r\nhello\r\n", "/upload": b"100000\r\n" + b"x" * 2**20 + b"\r\n"}


def send_fields(stack: StackUnderTest, proxy: str, fields: bytes) -> list[Reply]:
    """The replies to chunked bodies, small and large, with these fields after them."""
    head = "Host: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests = [
        f"POST {path} HTTP/1.1\r\n{head}".encode() + body + b"0\r\n" + fields + b"\r\n" for path, body in BODIES.items()
    ]
    return send_all(stack.https_port(proxy), requests, stack.tls())


def test_no_field_after_a_body_is_a_header(stack: StackUnderTest, any_app: None, proxy: str) -> None:
    for fields in FIELDS:
        request, upload = send_fields(stack, proxy, fields)
        assert (request.status, upload.status) == (200, 200), fields[:80]
        assert b"evil" not in request.body and b"6.6.6.6" not in request.body, (fields[:80], request.body)
        assert json.loads(request.body)["headers"].get("content-length") in (None, "5")
        assert json.loads(upload.body)["bytes"] == 2**20


@pytest.mark.duty("400 for a bad end of a chunked body")
def test_fields_after_a_body_are_dropped_or_refused(stack: StackUnderTest, any_app: None, proxy: str) -> None:
    for fields in TOO_MUCH:
        for reply in send_fields(stack, proxy, fields):
            # 0: HAProxy closes where the fields are larger than its buffer.
            assert reply.status in (200, 0, 400, 413, 431), (fields[:40], len(fields), reply)
            assert b"evil" not in reply.body


def test_no_field_after_a_body_of_http_2_is_a_header(stack: StackUnderTest, any_app: None, proxy: str) -> None:
    tls = stack.tls()
    tls.set_alpn_protocols(["h2"])
    names = ("x-probe", "x-forwarded-for", "x_forwarded_for", "host", "authorization", "content-length", ":path")
    for name, value in [*((name, "evil") for name in names), ("x-probe", "evil" * 4000)]:
        reply = ask_http2(stack.https_port(proxy), make_head("/request", method="POST"), tls, ((name, value),))
        assert reply.status in (0, 200, 400, 431), (name, reply)
        assert b"evil" not in reply.body, (name, reply)
