"""The work of every route, written once for all applications.

A handler takes a `Request` and returns a `Reply`. It never waits and never writes to a socket. An application
(`apps/asgi/*.py`, `apps/wsgi/*.py`) connects the handlers with its framework. Therefore two applications differ in
speed, and behave alike. `apps/contract.py` says what a client must see.
"""

import asyncio
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from platform import python_version
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from apps.request import Request as Request
from apps.runtime import serve

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

MAX_BYTES = 64 * 2**20
MAX_HEAD = 65536
MAX_ROUNDS = 10_000_000
MAX_WAIT_MS = 60_000
MAX_CHUNKS = 10_000
POLICIES: dict[str, list[tuple[str, str]]] = {
    "public": [("cache-control", "public, max-age=60")],
    "brief": [("cache-control", "public, max-age=1, stale-if-error=60, stale-while-revalidate=60")],
    "vary": [("cache-control", "public, max-age=60"), ("vary", "accept-language")],
    "private": [("cache-control", "private, no-store")],
    "unmarked": [],
}
BODILESS = frozenset({204, 205, 304})

STARTED = time.time()
_serials = itertools.count(1)


class Reply(NamedTuple):
    """What to send and when.

    `delay` (seconds) passes before the status line. A `body` of bytes is sent at once, with a Content-Length. A `body`
    that iterates over (pause in seconds, bytes) is sent piece by piece, without a length and without buffering.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterator[tuple[float, bytes]]
    delay: float = 0.0


class Route(NamedTuple):
    """A path, its handler, and its methods. The last segment of the path may be `{value}`."""

    path: str
    handler: Callable[[Request], Reply]
    methods: tuple[str, ...] = ("GET",)

    @property
    def answers(self) -> tuple[str, ...]:
        """The methods, and HEAD where GET is one of them."""
        return (*self.methods, *(["HEAD"] if "GET" in self.methods else []))

    @property
    def rule(self) -> str:
        """The path as Bottle, Django, Flask and Quart write it: `/wait/<value>`."""
        return self.path.replace("{", "<").replace("}", ">")


def pace(pieces: Iterator[tuple[float, bytes]]) -> Iterator[bytes]:
    """The pieces of a streamed reply, each after its pause, for a synchronous application."""
    for seconds, piece in pieces:
        time.sleep(seconds)
        yield piece


async def pace_async(pieces: Iterator[tuple[float, bytes]]) -> AsyncIterator[bytes]:
    """The pieces of a streamed reply, each after its pause, for an asynchronous application."""
    for seconds, piece in pieces:
        await asyncio.sleep(seconds)
        yield piece


def reply_text(status: int, body: str, *headers: tuple[str, str]) -> Reply:
    """A reply in plain UTF-8 text."""
    content = body.encode()
    return Reply(status, [("content-type", TEXT), ("content-length", str(len(content))), *headers], content)


def reply_json(status: int, value: object, *headers: tuple[str, str]) -> Reply:
    """A reply in JSON. Keys are sorted and spaces are left out, so equal values are equal bytes."""
    content = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return Reply(status, [("content-type", JSON), ("content-length", str(len(content))), *headers], content)


def reply_not_found() -> Reply:
    """The reply to a path without a route."""
    return reply_text(404, "no such path\n")


def reply_not_allowed(route: Route) -> Reply:
    """The reply to a method that the route does not answer."""
    return reply_text(405, "no such method here\n", ("allow", ", ".join(sorted(route.answers))))


def parse_number(value: str, largest: int) -> int | None:
    """`value` as a whole number from 0 to `largest`; None where it is not one."""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 12 and int(value) <= largest else None


def read_pause(request: Request, name: str = "pause") -> float:
    """The `pause` of the query string, or another time, in seconds. The query string gives milliseconds."""
    values = parse_qs(request.query).get(name, ["0"])
    return (parse_number(values[0], MAX_WAIT_MS) or 0) / 1000


# ---------------------------------------------------------------- the routes


def hello(request: Request) -> Reply:
    """A short text, so that the cost is the cost of a request."""
    return reply_text(200, "Hello, world!\n")


def parse_form(request: Request) -> dict[str, Any] | Reply:
    """The JSON object in the body; where there is none, the reply that says why."""
    if request.header("content-type").split(";")[0].strip().lower() != JSON:
        return reply_json(422, {"detail": "the content type must be application/json"})
    try:
        form = json.loads(request.body)
    except (ValueError, RecursionError):
        return reply_json(422, {"detail": "the body is not JSON"})
    return form if isinstance(form, dict) else reply_json(422, {"detail": "the body must be a JSON object"})


def login(request: Request) -> Reply:
    """The talk's example: a JSON body with `email` and `senha` (Portuguese for password) earns a bearer token.

    No account is looked up. Every well-formed pair gets a token that is computed from the pair. `senha` may be a string
    or a whole number, because the talk sends a number. The talk: README.md.
    """
    form = parse_form(request)
    if isinstance(form, Reply):
        return form
    wrong = {}
    email, senha = form.get("email"), form.get("senha")
    if not isinstance(email, str) or not all(email.partition("@")):
        wrong["email"] = "missing" if "email" not in form else "must be an address, name@host"
    if not isinstance(senha, str | int) or isinstance(senha, bool) or senha == "":
        wrong["senha"] = "missing" if "senha" not in form else "must be a non-empty string or a whole number"
    if wrong:
        return reply_json(422, {"detail": wrong})
    token = hashlib.sha256(json.dumps([email, str(senha)]).encode()).hexdigest()
    return reply_json(200, {"access_token": token, "token_type": "bearer"})


def order(request: Request) -> Reply:
    """An order, some kB of JSON. Every line is checked. The answer has the cost of each line and the total."""
    form = parse_form(request)
    if isinstance(form, Reply):
        return form
    lines, kinds = form.get("lines"), {"article": str, "pieces": int, "cents": int}
    is_valid = isinstance(lines, list) and all(
        isinstance(line, dict) and all(type(line.get(name)) is kind for name, kind in kinds.items()) for line in lines
    )
    if not is_valid:
        rule = "each must have an article, and whole numbers of pieces and cents"
        return reply_json(422, {"detail": {"lines": rule}})
    costs = [{"article": line["article"], "cents": line["pieces"] * line["cents"]} for line in form["lines"]]
    return reply_json(200, {"lines": costs, "total": sum(line["cents"] for line in costs)})


def show_request(request: Request) -> Reply:
    """The request as the application sees it."""
    return reply_json(200, request.describe())


def show_process(request: Request) -> Reply:
    """The process that answers: server, version, interface, application, pid, and start time (Unix seconds)."""
    server = os.environ.get("SERVER", "none")
    return reply_json(
        200,
        {
            "server": server,
            "version": serve.version(server),
            "interface": request.interface,
            "app": os.environ.get("APP", "none"),
            "pid": os.getpid(),
            "started": STARTED,
            "python": python_version(),
        },
        ("cache-control", "no-store"),
    )


def echo(request: Request) -> Reply:
    """The body and the content type of the request, unchanged."""
    kind = request.header("content-type") or "application/octet-stream"
    return Reply(200, [("content-type", kind), ("content-length", str(len(request.body)))], request.body)


def upload(request: Request) -> Reply:
    """The number of bytes that arrived, and their SHA-256; 400 where the number differs from Content-Length."""
    announced = request.header("content-length")
    if announced and int(announced) != len(request.body):
        return reply_json(400, {"detail": f"{len(request.body)} of {announced} bytes arrived"})
    return reply_json(200, {"bytes": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest()})


def keep(request: Request) -> Reply:
    """An upload that the application has accepted as complete. Each writes a line to the application's log."""
    print(f"kept: {request.value}: {len(request.body)} bytes", file=sys.stderr, flush=True)
    return upload(request)


def send_bytes(request: Request) -> Reply:
    """`value` bytes of a repeating pattern."""
    count = parse_number(request.value, MAX_BYTES)
    if count is None:
        return reply_json(422, {"detail": f"the number of bytes must be 0 to {MAX_BYTES}"})
    body = (b"0123456789abcdef" * (count // 16 + 1))[:count]
    return Reply(200, [("content-type", "application/octet-stream"), ("content-length", str(count))], body)


def send_head(request: Request) -> Reply:
    """A reply whose header `x-large` has `value` bytes."""
    count = parse_number(request.value, MAX_HEAD)
    if count is None:
        return reply_json(422, {"detail": f"the number of bytes must be 0 to {MAX_HEAD}"})
    return reply_text(200, "a large head\n", ("x-large", "h" * count))


def burn(request: Request) -> Reply:
    """CPU work in Python: `value` rounds of SHA-256, each over the previous digest."""
    rounds = parse_number(request.value, MAX_ROUNDS)
    if rounds is None:
        return reply_json(422, {"detail": f"the number of rounds must be 0 to {MAX_ROUNDS}"})
    digest = b""
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return reply_json(200, {"rounds": rounds, "digest": digest.hex()})


def wait(request: Request) -> Reply:
    """A wait for I/O: the reply comes after `value` milliseconds."""
    milliseconds = parse_number(request.value, MAX_WAIT_MS)
    if milliseconds is None:
        return reply_json(422, {"detail": f"the wait must be 0 to {MAX_WAIT_MS} milliseconds"})
    return reply_text(200, f"waited {milliseconds} ms\n")._replace(delay=milliseconds / 1000)


def stream(request: Request) -> Reply:
    """`value` chunks without a Content-Length, `?pause=` milliseconds apart."""
    count, gap = parse_number(request.value, MAX_CHUNKS), read_pause(request)
    if count is None:
        return reply_json(422, {"detail": f"the number of chunks must be 0 to {MAX_CHUNKS}"})
    return Reply(200, [("content-type", TEXT)], ((gap, f"chunk {n}\n".encode()) for n in range(count)))


def send_events(request: Request) -> Reply:
    """`value` server-sent events, `?pause=` milliseconds apart. `?last=` is the pause before the last event."""
    count, gap = parse_number(request.value, MAX_CHUNKS), read_pause(request)
    if count is None:
        return reply_json(422, {"detail": f"the number of events must be 0 to {MAX_CHUNKS}"})
    headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")]
    gaps = [gap] * (count - 1) + [read_pause(request, "last") or gap] * (count > 0)
    return Reply(200, headers, ((gaps[n], f"id: {n}\ndata: event {n}\n\n".encode()) for n in range(count)))


def send_status(request: Request) -> Reply:
    """A reply with the status `value` (200 to 599). It has a body where HTTP allows one."""
    code = parse_number(request.value, 599)
    if code is None or code < 200:
        return reply_json(422, {"detail": "the status must be 200 to 599"})
    return Reply(code, [], b"") if code in BODILESS else reply_text(code, f"status {code}\n")


def send_hop_by_hop(request: Request) -> Reply:
    """A reply with headers that only a server may set."""
    headers = [("transfer-encoding", "chunked"), ("connection", "x-own"), ("keep-alive", "timeout=99")]
    return reply_text(200, "hop by hop\n", *headers, ("upgrade", "h2c"), ("te", "trailers"), ("x-own", "stays"))


def fail(request: Request) -> Reply:
    """An error of the application: before the reply, or in the body after its first piece."""
    if request.value == "before":
        raise RuntimeError("the application fails before its reply, as it was asked to")
    return Reply(200, [("content-type", TEXT)], _fail_after_a_piece())


def _fail_after_a_piece() -> Iterator[tuple[float, bytes]]:
    yield 0, b"the first piece\n"
    raise RuntimeError("the application fails in its reply, as it was asked to")


def confirm(request: Request) -> Reply:
    """A reply that shows that the process answers (`/live`) and accepts requests (`/ready`)."""
    return reply_text(200, "ok\n", ("cache-control", "no-store"))


def show_page(request: Request) -> Reply:
    """A page with a `Cache-Control` header; `value` is one of `POLICIES`.

    `serial` is new for every page, so a repeated number shows that a cache answered. `for` is the user of the request,
    and `language` is the language that the client prefers.
    """
    if request.value not in POLICIES:
        return reply_not_found()
    page = {
        "serial": next(_serials),
        "pid": os.getpid(),
        "for": request.header("authorization") or request.header("cookie"),
        "language": request.header("accept-language"),
    }
    return reply_json(200, page, *POLICIES[request.value])._replace(delay=read_pause(request))


def show_admin_page(request: Request) -> Reply:
    """A page of the area that the proxies guard. Each visit writes a line to the application's log."""
    print(f"admin: {request.value}", file=sys.stderr, flush=True)
    return reply_text(200, "the admin area\n", ("cache-control", "no-store"))


OWN_POLICIES = {
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=60; includeSubDomains",
    "content-security-policy": "default-src 'self'",
}


def send_policies(request: Request) -> Reply:
    """A reply with security headers that differ from the proxies' own."""
    return reply_text(200, "policies\n", ("x-content-type-options", "nosniff"), *OWN_POLICIES.items())


ROUTES = (
    Route("/", hello),
    Route("/login", login, ("POST",)),
    Route("/order", order, ("POST",)),
    Route("/request", show_request, ("GET", "POST", "PUT", "PATCH", "DELETE")),
    Route("/request/{value}", show_request),
    Route("/process", show_process),
    Route("/echo", echo, ("POST",)),
    Route("/upload", upload, ("POST", "PUT")),
    Route("/keep/{value}", keep, ("POST",)),
    Route("/bytes/{value}", send_bytes),
    Route("/head/{value}", send_head),
    Route("/burn/{value}", burn),
    Route("/wait/{value}", wait),
    Route("/stream/{value}", stream, ("GET", "POST")),
    Route("/events/{value}", send_events, ("GET", "POST")),
    Route("/status/{value}", send_status),
    Route("/hop-by-hop", send_hop_by_hop),
    Route("/fail/{value}", fail),
    Route("/live", confirm),
    Route("/ready", confirm),
    Route("/cache/{value}", show_page),
    Route("/admin/{value}", show_admin_page),
    Route("/policies", send_policies),
)
WEBSOCKET_PATH = "/ws"

_BY_PATH = {route.path.removesuffix("{value}"): route for route in ROUTES}


def match(method: str, path: str) -> tuple[Callable[[Request], Reply], str] | Reply:
    """The handler of a request and the value in its path; where no route matches, the reply 404 or 405.

    `path` is decoded text. The applications without a framework use this function as their router.
    """
    route, value = _BY_PATH.get(path), ""
    if route is None or route.path.endswith("}"):
        prefix, _, value = path.rpartition("/")
        route = _BY_PATH.get(f"{prefix}/") if value else None
    if route is None or (value and not route.path.endswith("}")):
        return reply_not_found()
    if method not in route.answers:
        return reply_not_allowed(route)
    return route.handler, value


def reply_unmatched(method: str, path: str) -> Reply:
    """The reply 404 or 405, in the contract's words, for a request that a framework's router did not match."""
    result = match(method, path)
    return result if isinstance(result, Reply) else reply_not_found()
