"""Odd but harmless characters in a path or a query: what reaches the application."""

import functools
import itertools
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pytest

from tests.support.counting import Counting, run_counting_server
from tests.support.raw_clients import ask, make_head, send_all
from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.full
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


@functools.cache  # two tests read them
def find_arrivals(counting: Counting, proxy: str, version: str, place: str) -> dict[str, str]:
    """What arrives for each target of that place; "" where the proxy refuses. Both lack the part that is unique."""
    names = {f"/{next(numbers)}": (each, is_legal) for where, each, is_legal in TARGETS if where == place}
    if version == "3":  # the library sends no other bytes than UTF-8
        names = {name: case for name, case in names.items() if "\xff" not in case[0]}
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


@pytest.mark.duty("a query byte for byte")
def test_a_query_arrives_byte_for_byte(counting: Counting, proxy: str, version: str) -> None:
    assert find_changes(counting, proxy, version, "?") == {}


@pytest.mark.duty("a path byte for byte")
def test_a_path_arrives_byte_for_byte(counting: Counting, proxy: str, version: str) -> None:
    assert find_changes(counting, proxy, version, "/") == {}


@pytest.mark.parametrize("place", ["path", "query"])
def test_a_target_keeps_its_meaning(counting: Counting, proxy: str, version: str, place: str) -> None:
    changes = find_changes(counting, proxy, version, "/" if place == "path" else "?")
    for target, arrived in changes.items():
        assert unquote_to_bytes(arrived) == unquote_to_bytes(target.encode("latin-1"))
        # What separates the parts of a query or a path stays as it is.
        assert [arrived.count(each) for each in "/?&=+#"] == [target.count(each) for each in "/?&=+#"]
