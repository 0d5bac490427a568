"""What the proxies do with a reply: compression, conditions, ranges, and what the cache keeps."""

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from stack import proxies
from stack.compose import LABEL
from stack.proxies import CACHE
from stack.waiting import wait_until
from tests.support.back_end import make_body
from tests.support.engine import client, remove, restart, stop
from tests.support.stack import IMAGES, StackUnderTest

SOURCE = Path(__file__).with_name("support") / "back_end.py"
CODINGS = ("identity", "gzip", "br", "zstd", "gzip, deflate, br, zstd")
TEXT, BODY = {"Content-Type": "text/plain"}, make_body(3000)
TAGGED = TEXT | {"ETag": '"a"'}
GZIP = {"Accept-Encoding": "gzip"}


class Reply(NamedTuple):
    """What a client gets: the status, the headers by lower-case name, and the body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class BackEnd(NamedTuple):
    """The back end in the app's place, asked through the stack's proxies."""

    stack: StackUnderTest
    container: str

    def ask(
        self,
        proxy: str,
        version: str = "1.1",
        method: str = "GET",
        path: str = "/x",
        reply: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        **headers: str,
    ) -> Reply:
        """One request. `reply` is the headers that the back end sends; `headers` has `_` for `-`."""
        pairs = [*(query or {}).items(), *(("h", f"{name}:{value}") for name, value in (reply or {}).items())]
        sent = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.stack.request(proxy, method, f"{path}?{urlencode(pairs)}", version, headers=sent, stream=True)
        self.stack.session(proxy, version).cookies.clear()
        assert answer.raw
        body = answer.raw.read(decode_content=False)
        return Reply(answer.status_code or 0, {name.lower(): value for name, value in answer.headers.items()}, body)


@pytest.fixture(scope="module")
def back_end(stack: StackUnderTest) -> Iterator[BackEnd]:
    """Runs support/back_end.py in the app's place, until every proxy reaches it."""
    stack.serving = None
    remove(*stack.compose.containers("app", include_stopped=True))
    network = stack.network("backend")
    container = str(
        client()
        .containers.run(
            f"{IMAGES}-app",
            ["python3", "-c", SOURCE.read_text()],
            detach=True,
            labels={f"{LABEL}.project": stack.compose.project},
            network=network,
            networking_config={network: client().api.create_endpoint_config(aliases=[stack.app_name()])},
        )
        .id
    )
    try:
        assert wait_until(lambda: all(stack.get(proxy, "/x").status_code == 200 for proxy in stack.proxies), 20)
        yield BackEnd(stack, container)
    finally:
        remove(container)


def test_an_etag_of_a_reply_is_known_again(back_end: BackEnd, proxy: str, version: str) -> None:
    for coding in CODINGS:
        first = back_end.ask(proxy, version, reply=TAGGED, Accept_Encoding=coding)
        tag = first.headers["etag"]
        for known in (tag, f'"z", {tag}', f'{tag}, "z"'):
            for accepted in (coding, "identity"):
                again = back_end.ask(proxy, version, reply=TAGGED, If_None_Match=known, Accept_Encoding=accepted)
                assert (again.status, again.body) == (304, b""), (coding, known, accepted)
        for accepted in (coding, "identity"):
            save = back_end.ask(proxy, version, "PUT", reply=TAGGED, If_Match=tag, Accept_Encoding=accepted)
            assert save.status == 200, f"{coding}: a save with the ETag of the GET got {save.status}"
        # Another version of the page, and a tag that the application itself calls weak, keep their meaning.
        newer = TAGGED | {"ETag": '"b"'}
        assert back_end.ask(proxy, version, "PUT", reply=newer, If_Match=tag).status == 412
        assert back_end.ask(proxy, version, reply=newer, If_None_Match=tag, Accept_Encoding=coding).status == 200
        weak = TAGGED | {"ETag": 'W/"a"'}
        tag = back_end.ask(proxy, version, reply=weak, Accept_Encoding=coding).headers["etag"]
        assert back_end.ask(proxy, version, reply=weak, If_None_Match=tag).status == 304
        assert back_end.ask(proxy, version, "PUT", reply=weak, If_Match=tag).status == 412


@pytest.mark.duty("no-transform is not compressed")
def test_no_transform_is_not_compressed(back_end: BackEnd, proxy: str, version: str) -> None:
    for policy in ("no-transform", "public, no-transform", "no-transform,max-age=60"):
        answer = back_end.ask(proxy, version, reply=TEXT | {"Cache-Control": policy}, Accept_Encoding="gzip, br, zstd")
        assert "content-encoding" not in answer.headers and answer.body == BODY, policy


UNCOMPRESSED = {
    "compressed already": TEXT | {"Content-Encoding": "br"},
    "marked by the application": TEXT | {"Content-Encoding": "identity", "Cache-Control": "no-transform"},
    "an event stream": {"Content-Type": "text/event-stream"},
    "an event stream with parameters": {"Content-Type": "text/event-stream; charset=utf-8"},
    "an image": {"Content-Type": "image/png"},
}


@pytest.mark.parametrize("kind", UNCOMPRESSED)
def test_a_reply_without_leave_is_not_compressed(back_end: BackEnd, proxy: str, kind: str) -> None:
    for query in ({}, {"chunked": ""}):
        answer = back_end.ask(proxy, reply=UNCOMPRESSED[kind], query=query, Accept_Encoding="gzip, br, zstd")
        assert answer.headers.get("content-encoding") == UNCOMPRESSED[kind].get("Content-Encoding")
        assert answer.body == BODY


# `Accept-Encoding` that refuses every coding of the proxies. Some proxies read two of them as a leave: upstream's.
REFUSALS = (
    *("", "identity", "gzip;q=0", "gzip;q=0.0", "gzip ; q=0", "gzip;q=0, br;q=0, zstd;q=0", "*;q=0", "xgzip"),
    *("gzip;q=0, br;q=0, zstd;q=0, *", "gzip;Q=0"),
)
MISREAD = {("apache", "gzip;Q=0"), ("haproxy", "gzip;Q=0"), ("haproxy", "gzip;q=0, br;q=0, zstd;q=0, *")}


def test_a_coding_that_the_client_refuses_is_not_used(back_end: BackEnd, proxy: str) -> None:
    for refusal in REFUSALS:
        answer = back_end.ask(proxy, reply=TEXT, Accept_Encoding=refusal)
        assert ("content-encoding" in answer.headers) == ((proxy, refusal) in MISREAD), refusal
    assert back_end.ask(proxy, reply=TEXT, Accept_Encoding="gzip;q=0.001").headers["content-encoding"] == "gzip"


@pytest.mark.duty("Brotli or Zstandard")
def test_a_newer_coding_than_gzip_is_offered(back_end: BackEnd, proxy: str, version: str) -> None:
    offered = [back_end.ask(proxy, version, reply=TEXT, Accept_Encoding=coding) for coding in ("br", "zstd")]
    codings = {answer.headers.get("content-encoding") for answer in offered} - {None}
    assert codings and min(len(answer.body) for answer in offered) < 500


def test_a_part_of_a_reply_is_not_compressed(back_end: BackEnd, proxy: str, version: str) -> None:
    for coding in CODINGS:
        part = back_end.ask(proxy, version, reply=TAGGED, Range="bytes=0-1999", Accept_Encoding=coding)
        assert (part.status, part.body) == (206, BODY[:2000]), coding
        assert "content-encoding" not in part.headers and part.headers["content-range"] == "bytes 0-1999/3000"
        # A client that has a part of a compressed reply must not get a part of the plain one after it.
        first = back_end.ask(proxy, version, reply=TAGGED, Accept_Encoding=coding)
        tag = first.headers["etag"]
        rest = back_end.ask(proxy, version, reply=TAGGED, Range="bytes=0-1999", If_Range=tag, Accept_Encoding=coding)
        was_compressed = "content-encoding" in first.headers
        assert rest.status in ((200,) if was_compressed else (200, 206)), coding


def test_head_announces_no_other_length(back_end: BackEnd, proxy: str, version: str) -> None:
    for query in ({}, {"size": "100"}, {"chunked": ""}, {"status": "404"}):
        for coding in CODINGS:
            head = back_end.ask(proxy, version, "HEAD", reply=TAGGED, query=query, Accept_Encoding=coding)
            plain = back_end.ask(proxy, version, reply=TAGGED, query=query)
            assert (head.status, head.body) == (plain.status, b"")
            # Some proxies describe the reply as if the client read no coding. Over HTTP/3, quic-go (Caddy and Traefik)
            # sometimes announces 0 where the application announces nothing: http3/response_writer.go.
            announced = head.headers.get("content-length")
            allowed = {None, str(len(plain.body)), *(["0"] if "chunked" in query and version == "3" else [])}
            assert announced in allowed, (query, coding)


def test_a_compressed_reply_says_what_it_varies_by(back_end: BackEnd, proxy: str, version: str) -> None:
    for own in ({}, {"Vary": "Cookie"}, {"Vary": "Accept-Encoding, Cookie"}):
        answer = back_end.ask(proxy, version, reply=TEXT | own, Accept_Encoding="gzip")
        assert answer.headers["content-encoding"] == "gzip"
        names = {name.strip().lower() for name in answer.headers["vary"].split(",")}
        assert names == {"accept-encoding", *(["cookie"] if own else [])}


def read_raw(answer: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """The status, the header lines and the body of an answer over HTTP/1.1."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs = [each.partition(":") for each in lines]
    return int(line.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs], body


def test_every_reply_is_well_formed(back_end: BackEnd, proxy: str) -> None:
    settings: tuple[dict[str, str], ...] = (
        {},
        {"chunked": ""},
        {"size": "0"},
        {"status": "204"},
        {"status": "304"},
        {"status": "404"},
        {"status": "500"},
    )
    for query in settings:
        for coding in ("identity", "gzip"):
            target = f"/x?{urlencode([*query.items(), *(('h', f'{n}:{v}') for n, v in TAGGED.items())])}"
            head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
            status, headers, body = read_raw(back_end.stack.raw(proxy, head.encode()))
            names = [name for name, _ in headers]
            fields = dict(headers)
            assert names.count("date") == names.count("etag") == 1, (query, coding, names)
            assert abs(parsedate_to_datetime(fields["date"]).timestamp() - time.time()) < 60
            assert not {"content-length", "transfer-encoding"} <= set(names), "two ways to say the length"
            assert max(names.count(name) for name in ("content-length", "content-type", "content-encoding")) <= 1
            assert "age" not in names and "keep-alive" not in names
            if "content-length" in fields and status != 304:
                assert len(body) == int(fields["content-length"])
            if status in (204, 304):
                assert body == b"" and "transfer-encoding" not in names


# `Cache-Control`, and whether the cache may keep such a reply. That it must say "public" is this stack's rule.
POLICIES = {
    **dict.fromkeys(
        (
            *("public, max-age=60", "PUBLIC, Max-Age=60", "max-age=60,public", "public, s-maxage=60"),
            *(
                "public, max-age=0, s-maxage=60",
                "public, max-age=60, must-revalidate",
                "public, max-age=60, no-transform",
            ),
            *("public, max-age=60, proxy-revalidate", "public, max-age=60, immutable", "public, max-age=60, x=y"),
            *("public, max-age=60, stale-if-error=60", "public, max-age=60, stale-while-revalidate=60"),
        ),
        True,
    ),
    **dict.fromkeys(
        (
            *("", "public", "max-age=60", "s-maxage=60", "must-revalidate, max-age=60", "publicx, max-age=60"),
            *("public, max-age=0", "public, max-age=-1", "public, max-age=x", "public, max-age=60, s-maxage=0"),
            *("public, no-store, max-age=60", "public, max-age=60, No-Store", "public, private, max-age=60"),
            *("public, max-age=60, PRIVATE", 'public, private="x", max-age=60', "public, no-cache, max-age=60"),
            *('public, no-cache="x", max-age=60', 'x="public, max-age=60"', "x=public, max-age=60"),
            *(
                "public, max-age=60, must-revalidate, stale-if-error=60",
                "public, max-age=60, stale-if-error=9, proxy-revalidate",
            ),
        ),
        False,
    ),
}
KEPT = TEXT | {"Cache-Control": "public, max-age=60"}
# Further headers of such a reply, and whether it may be kept.
FURTHER = (
    *((KEPT | {"Vary": value}, False) for value in ("*", "foo, *", "foo,*", "*, foo", " * ", "foo , * , bar")),
    *((KEPT | {"Vary": value}, True) for value in ("foo", "foo, bar", "Accept-Encoding", "a*b")),
    *((KEPT | headers, False) for headers in ({"Set-Cookie": "a=b"}, {"Age": "100"})),
    *(
        (KEPT | headers, True)
        for headers in ({"Age": "0"}, {"ETag": '"a"'}, {"Last-Modified": "Thu, 26 Nov 2026 00:00:00 GMT"})
    ),
)


@pytest.mark.parametrize("proxy", proxies.having(CACHE))
def test_the_cache_keeps_what_it_may_and_nothing_else(back_end: BackEnd, proxy: str) -> None:
    replies = [(TEXT | {"Cache-Control": policy}, may) for policy, may in POLICIES.items()]
    for reply, may_keep in (*replies, *FURTHER):
        query = {"new": str(time.monotonic_ns())}
        answers = [back_end.ask(proxy, path="/cache/x", reply=reply, query=query) for _ in range(3)]
        serials = {answer.headers["x-serial"] for answer in answers}
        assert (len(serials) < 3) == may_keep, reply


# What a cache may do with a page that has grown old while the application is away (RFC 9111, 4.2.4; RFC 5861).
OLD_PAGES = {
    "public, max-age=1": False,
    "public, max-age=1, must-revalidate": False,
    "public, max-age=1, proxy-revalidate": False,
    "public, s-maxage=1": False,
    "public, max-age=1, stale-if-error=60, must-revalidate": False,
    "public, max-age=1, proxy-revalidate, stale-while-revalidate=60": False,
    "public, max-age=1, stale-if-error=60": True,
    "public, max-age=1, stale-while-revalidate=60, stale-if-error=60": True,
}


@pytest.mark.parametrize("proxy", proxies.having(CACHE))
def test_an_old_page_is_served_only_where_the_application_allows_it(back_end: BackEnd, proxy: str) -> None:
    query = {"new": str(time.monotonic_ns())}

    def ask(policy: str) -> Reply:
        return back_end.ask(proxy, path="/cache/x", reply=TEXT | {"Cache-Control": policy}, query=query)

    serials = {policy: ask(policy).headers["x-serial"] for policy in OLD_PAGES}
    kept_until = time.monotonic() + 1
    try:
        stop(back_end.container, 0)
        assert wait_until(lambda: time.monotonic() > kept_until + 1)  # NGINX counts in full seconds
        for policy, may_serve in OLD_PAGES.items():
            answer = ask(policy)
            if may_serve:
                assert answer.status == 200 and answer.headers["x-serial"] == serials[policy], policy
            else:
                assert answer.status in (502, 503, 504), f"an old page was served: {policy}"
    finally:
        restart(back_end.container)
        assert wait_until(lambda: back_end.ask(proxy).status == 200, 20)


def test_the_back_end_refuses_and_cuts_as_the_rfc_says(back_end: BackEnd) -> None:
    # Without this, the tests above would show nothing. NGINX leaves these requests as they are.
    assert re.fullmatch(r"\d+", back_end.ask("nginx").headers["x-serial"])
    assert back_end.ask("nginx", method="PUT", reply=TAGGED, If_Match='"b"').status == 412
    assert back_end.ask("nginx", reply=TAGGED, If_None_Match='W/"a"').status == 304
    assert back_end.ask("nginx", reply=TAGGED, Range="bytes=0-1", If_Range='"b"').body == BODY
