"""The contract: what a client must see from every application on every server.

`CHECKS` is the contract. `verify` sends every check through any client and names the checks that fail.

The exceptions are in named_differences.py.
Checked by: test_every_application_keeps_the_contract
"""

import hashlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What a client received: status, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Check(NamedTuple):
    """One request, and the status, headers and body of the right answer.

    `body` is the exact bytes, or a function that takes the answer and returns what is wrong with it ("" where nothing
    is). A header with the value None must be absent. `chunked` sends the body without a Content-Length.
    """

    name: str
    method: str
    path: str
    status: int = 200
    send_headers: Mapping[str, str] = MappingProxyType({})
    send_body: bytes | None = None
    headers: Mapping[str, str | None] = MappingProxyType({})
    body: bytes | Callable[[Answer], str] = b""
    chunked: bool = False

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces of 64 kB. A client sends such pieces when it does not know the length."""
        body = self.send_body or b""
        return (body[at : at + 65536] for at in range(0, len(body), 65536))


Send = Callable[[Check], Answer]

TEXT = {"content-type": "text/plain; charset=utf-8"}
JSON = {"content-type": "application/json"}
MEGABYTE = bytes(range(256)) * 4096


# Bytes of a request line, of one header, of all headers, of a reply's head, and of a body; the number of headers that a
# client may send. Every proxy and every server takes these. What a proxy answers to more: `OVER_LIMITS` in
# tools/sizes.py.
LINE, HEADER, ALL_HEADERS, REPLY_HEAD, BODY, HEADERS = 16_000, 15_000, 20_000, 15_000, 10 * 2**20, 80


def _to_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _expect_fields(**expected: Any) -> Callable[[Answer], str]:
    """The body must be a JSON object with at least the fields `expected`."""

    def find_wrong_fields(answer: Answer) -> str:
        fields = json.loads(answer.body)
        return "; ".join(
            f"{name} is {fields.get(name)!r}, not {value!r}"
            for name, value in expected.items()
            if fields.get(name) != value
        )

    return find_wrong_fields


def _expect_header(name: str, value: str) -> Callable[[Answer], str]:
    """The application must see a request header with this value."""

    def find_wrong_header(answer: Answer) -> str:
        seen = json.loads(answer.body)["headers"].get(name)
        return "" if seen == value else f"the application sees {name}: {seen!r}, not {value!r}"

    return find_wrong_header


def _expect_no_hop_by_hop(answer: Answer) -> str:
    """Nothing of the headers for one connection that the application sets may arrive."""
    headers = answer.headers
    passed: list[str] = [name for name in ("te", "upgrade") if name in headers]
    passed += ["keep-alive"] if "99" in headers.get("keep-alive", "") else []
    passed += ["connection"] if "x-own" in headers.get("connection", "") else []
    return f"{', '.join(passed)} of the application arrived" if passed or answer.body != b"hop by hop\n" else ""


def _expect_anything(answer: Answer) -> str:
    return ""


def _expect_page(answer: Answer) -> str:
    """The body must be a JSON object with exactly the fields of a cached page."""
    return "" if sorted(json.loads(answer.body)) == _PAGE else f"not {', '.join(_PAGE)}"


def _make_login(body: bytes, status: int, answer: object, name: str, kind: str = "application/json") -> Check:
    return Check(f"login: {name}", "POST", "/login", status, {"content-type": kind}, body, JSON, _to_json(answer))


def _make_order(name: str, lines: object, status: int, answer: object) -> Check:
    body = _to_json({"lines": lines})
    return Check(f"order: {name}", "POST", "/order", status, JSON, body, JSON, _to_json(answer))


def _describe_upload(body: bytes) -> bytes:
    return _to_json({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})


def _burn(rounds: int) -> bytes:
    digest = b""
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return _to_json({"rounds": rounds, "digest": digest.hex()})


_TOKEN = {
    "access_token": hashlib.sha256(b'["ana@example.org", "1234"]').hexdigest(),
    "token_type": "bearer",
}
_LINES = [{"article": "a", "pieces": 2, "cents": 3}, {"article": "b", "pieces": 1, "cents": 8}]
_LINE = "each must have an article, and whole numbers of pieces and cents"
_LONG = "/request?" + "q" * (LINE - len("GET /request? HTTP/1.1"))
_PAGE = ["for", "language", "pid", "serial"]
# A cookie makes every cache pass the request on, so the application answers.
_PERSONAL = {"cookie": "a=b"}

CHECKS = (
    Check("hello", "GET", "/", headers={**TEXT, "content-length": "14"}, body=b"Hello, world!\n"),
    Check("HEAD has the headers and no body", "HEAD", "/", headers={**TEXT, "content-length": "14"}),
    _make_login(b'{"email":"ana@example.org","senha":1234}', 200, _TOKEN, "the talk's example, a number"),
    _make_login(
        b'{"email":"ana@example.org","senha":"1234"}', 200, _TOKEN, "a string", "application/json; charset=utf-8"
    ),
    _make_login(b'{"email":"ana@example.org"}', 422, {"detail": {"senha": "missing"}}, "a missing field"),
    _make_login(b"{}", 422, {"detail": {"email": "missing", "senha": "missing"}}, "both fields missing"),
    _make_login(
        b'{"email":7,"senha":"x"}',
        422, {"detail": {"email": "must be an address, name@host"}}, "a field of the wrong type",
    ),
    _make_login(b'{"email":"ana@', 422, {"detail": "the body is not JSON"}, "malformed JSON"),
    _make_login(b"[" * 9000, 422, {"detail": "the body is not JSON"}, "JSON too deep to read"),
    _make_login(b"\xff\xfe", 422, {"detail": "the body is not JSON"}, "bytes that are no text"),
    _make_login(b"[1]", 422, {"detail": "the body must be a JSON object"}, "JSON that is no object"),
    _make_login(
        b"email=a",
        422, {"detail": "the content type must be application/json"}, "a form", "application/x-www-form-urlencoded",
    ),
    Check(
        "login: GET is refused", "GET", "/login",
        405, headers={**TEXT, "allow": "POST"}, body=b"no such method here\n",
    ),
    _make_order(
        "two lines", _LINES,
        200, {"lines": [{"article": "a", "cents": 6}, {"article": "b", "cents": 8}], "total": 14},
    ),
    _make_order("half a piece", [{**_LINES[0], "pieces": 0.5}], 422, {"detail": {"lines": _LINE}}),
    Check(
        "a method the route has not", "DELETE", "/",
        405, headers={"allow": "GET, HEAD"}, body=b"no such method here\n",
    ),
    Check("an unknown path", "GET", "/nowhere", 404, headers=TEXT, body=b"no such path\n"),
    Check("an unknown path under a known one", "GET", "/wait/1/2", 404, headers=TEXT, body=b"no such path\n"),
    Check("the application sees the method", "PUT", "/request", send_body=b"x", body=_expect_fields(method="PUT")),
    Check(
        "the application sees the raw query", "GET", "/request?a=1&b=%20+c",
        body=_expect_fields(query="a=1&b=%20+c", path="/request"),
    ),
    Check(
        "the application sees the decoded path", "GET", "/request/caf%C3%A9%20x",
        body=_expect_fields(path="/request/café x", root_path=""),
    ),
    Check(
        "the application sees a header", "GET", "/request",
        200, {"x-probe": "a, b"}, body=_expect_header("x-probe", "a, b"),
    ),
    *(
        Check(
            f"the application sees the header Authorization: {value.split()[0]}", "GET", "/request",
            200, {"authorization": value}, body=_expect_header("authorization", value),
        )
        for value in ("Basic YW5hOmEgcGFzc3dvcmQ=", "Bearer a.b-c_d")
    ),
    Check(
        "many headers", "GET", "/request",
        200, {f"x-many-{number}": "m" for number in range(HEADERS)}, body=_expect_header(f"x-many-{HEADERS - 1}", "m"),
    ),
    Check("a large reply head", "GET", f"/head/{REPLY_HEAD}", headers={"x-large": "h" * REPLY_HEAD}, body=b"a large head\n"),
    Check("the application is spoken to in HTTP/1.1", "GET", "/request", body=_expect_fields(http_version="1.1")),
    Check(
        "echo", "POST", "/echo", 200, {"content-type": "x/y"}, b"\x00\xff\r\n",
        {"content-type": "x/y", "content-length": "4"}, b"\x00\xff\r\n",
    ),
    Check("echo of nothing", "POST", "/echo", 200, {"content-type": "x/y"}, b"", {"content-length": "0"}),
    Check("upload of 1 MB", "POST", "/upload", send_body=MEGABYTE, headers=JSON, body=_describe_upload(MEGABYTE)),
    Check(
        "upload of 1 MB in chunks", "POST", "/upload",
        send_body=MEGABYTE, headers=JSON, body=_describe_upload(MEGABYTE), chunked=True,
    ),
    Check(
        "an early answer to an upload of 1 MB", "POST", "/",
        405, send_body=MEGABYTE, headers={"allow": "GET, HEAD"}, body=b"no such method here\n",
    ),
    Check("the headers of one connection are the server's", "GET", "/hop-by-hop", body=_expect_no_hop_by_hop),
    Check("bytes", "GET", "/bytes/100000", headers={"content-length": "100000"}, body=b"0123456789abcdef" * 6250),
    Check("no bytes", "GET", "/bytes/0", headers={"content-length": "0"}),
    Check(
        "bytes: not a number", "GET", "/bytes/many",
        422, headers=JSON, body=_to_json({"detail": "the number of bytes must be 0 to 67108864"}),
    ),
    Check("burn", "GET", "/burn/1000", headers=JSON, body=_burn(1000)),
    Check("wait", "GET", "/wait/20", headers=TEXT, body=b"waited 20 ms\n"),
    Check(
        "stream", "GET", "/stream/5?pause=5",
        headers={**TEXT, "content-length": None}, body=b"".join(b"chunk %d\n" % n for n in range(5)),
    ),
    Check("an empty stream", "GET", "/stream/0", headers=TEXT),
    Check(
        "server-sent events", "GET", "/events/2?pause=5",
        headers={"content-type": "text/event-stream", "cache-control": "no-cache", "content-length": None},
        body=b"id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\n",
    ),
    *(
        Check(f"status {code}", "GET", f"/status/{code}", code, headers=TEXT, body=b"status %d\n" % code)
        for code in (200, 201, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503)
    ),
    Check("status 204", "GET", "/status/204", 204),
    Check("status 304", "GET", "/status/304", 304),
    Check("HEAD of a 404", "HEAD", "/nowhere", 404, headers=TEXT),
    Check("liveness", "GET", "/live", headers={**TEXT, "cache-control": "no-store"}, body=b"ok\n"),
    Check("readiness", "GET", "/ready", headers={**TEXT, "cache-control": "no-store"}, body=b"ok\n"),
    *(
        Check(
            f"a {kind} page", "GET", f"/cache/{kind}",
            200, _PERSONAL, headers={**JSON, "cache-control": policy}, body=_expect_page,
        )
        for kind, policy in (("public", "public, max-age=60"), ("private", "private, no-store"))
    ),
)  # fmt: skip

# No part of CHECKS, because the tests' client cannot send such a head over HTTP/3.
LARGE = (
    Check("a long request line", "GET", _LONG, body=_expect_fields(query=_LONG.partition("?")[2])),
    Check(
        "a large header", "GET", "/request",
        200, {"x-large": "h" * HEADER}, body=_expect_header("x-large", "h" * HEADER),
    ),
    Check(
        "two large headers", "GET", "/request",
        200, {f"x-large-{number}": "h" * (ALL_HEADERS // 2) for number in range(2)},
        body=_expect_header("x-large-1", "h" * (ALL_HEADERS // 2)),
    ),
)  # fmt: skip

# The proxies show this page to few clients, so it is no part of CHECKS.
GUARDED = (
    Check("the admin area", "GET", "/admin/x", headers={**TEXT, "cache-control": "no-store"}, body=b"the admin area\n"),
)

# A framework answers such a request with a page of its own, and a plain application without a server does not answer.
FAILS_BEFORE = Check("an error before the reply", "GET", "/fail/before", 500, body=_expect_anything)


def find_fault(check: Check, answer: Answer) -> str:
    """What is wrong with `answer`, in a few words; "" where the check passes."""
    if answer.status != check.status:
        return f"status {answer.status}, not {check.status}: {answer.body[:120]!r}"
    for name, value in check.headers.items():
        if answer.headers.get(name) != value:
            return f"{name}: {answer.headers.get(name)!r}, not {value!r}"
    if callable(check.body):
        try:
            return check.body(answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"an unreadable body ({error!r}): {answer.body[:60]!r}"
    if answer.body != check.body:
        return f"a body of {len(answer.body)} bytes, {answer.body[:60]!r}, not {check.body[:60]!r}"
    return ""


def send_over(connection: http.client.HTTPConnection, check: Check) -> Answer:
    """Sends a check over a connection of the standard library; `OSError` where the answer is missing or incomplete."""
    is_chunked = check.chunked and bool(check.send_body)
    headers = dict(check.send_headers) | ({"Transfer-Encoding": "chunked"} if is_chunked else {})
    body = check.pieces() if is_chunked else check.send_body
    try:
        connection.request(check.method, check.path, body, headers, encode_chunked=is_chunked)
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def verify(send: Send, checks: tuple[Check, ...] = CHECKS) -> dict[str, str]:
    """Sends every check and returns the faults by check name; empty where all checks pass."""
    faults = {}
    for check in checks:
        try:
            fault = find_fault(check, send(check))
        except OSError as error:
            fault = f"no answer: {error!r}"
        if fault:
            faults[check.name] = fault
    return faults
