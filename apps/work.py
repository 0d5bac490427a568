"""What every route does, once, for every application.

A handler takes a `Request` and returns a `Reply`; it never waits and never writes to a socket. An
application (`apps/asgi/*.py`, `apps/wsgi/*.py`) only brings the two to its own framework, so that two
applications can differ in speed and never in behaviour. `apps/contract.py` says what a client must see.
"""

import asyncio
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from platform import python_version
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from apps import serve

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
UNBUFFERED = ("x-accel-buffering", "no")  # NGINX holds pieces under 1460 bytes back otherwise

MAX_BYTES = 64 * 2**20
MAX_ROUNDS = 10_000_000
MAX_WAIT_MS = 60_000
MAX_CHUNKS = 10_000
POLICIES: dict[str, list[tuple[str, str]]] = {
    "public": [("cache-control", "public, max-age=60")],
    "brief": [("cache-control", "public, max-age=1")],
    "vary": [("cache-control", "public, max-age=60"), ("vary", "accept-language")],
    "private": [("cache-control", "private, no-store")],
    "unmarked": [],
}
BODILESS = frozenset({204, 205, 304})

STARTED = time.time()
_serials = itertools.count(1)


class Request(NamedTuple):
    """One request: `native` is the WSGI environ or the ASGI scope, `value` the path's one parameter."""

    native: Mapping[str, Any]
    body: bytes = b""
    value: str = ""

    def header(self, name: str) -> str:
        """The value of header `name` (lower case), or "" where the client sent none."""
        if "wsgi.version" in self.native:
            key = name.upper().replace("-", "_")
            return self.native.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}") or ""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.native["headers"] if key == wanted), "")

    @property
    def interface(self) -> str:
        """What the server spoke to the application: `wsgi`, `asgi`, or, on Tornado's own server, `none`."""
        return "wsgi" if "wsgi.version" in self.native else "asgi" if "asgi" in self.native else "none"

    @property
    def query(self) -> str:
        """The raw query string, without the question mark."""
        if "wsgi.version" in self.native:
            return self.native.get("QUERY_STRING", "")
        return self.native["query_string"].decode("latin-1")


class Reply(NamedTuple):
    """What to send and when.

    `delay` (seconds) passes before the status line; `body` is sent whole with a Content-Length, or, where
    it is an iterator of (pause in seconds, bytes), piece by piece with neither length nor buffering.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Iterator[tuple[float, bytes]]
    delay: float = 0.0


class Route(NamedTuple):
    """A path, with at most one `{value}` as its last segment, the methods it answers, and its handler."""

    path: str
    handler: Callable[[Request], Reply]
    methods: tuple[str, ...] = ("GET",)

    @property
    def answers(self) -> tuple[str, ...]:
        """The methods and HEAD, which every GET brings."""
        return (*self.methods, *(["HEAD"] if "GET" in self.methods else []))


def chunks(pieces: Iterator[tuple[float, bytes]]) -> Iterator[bytes]:
    """The pieces of a streamed reply, each after its pause, for a synchronous application."""
    for pause, piece in pieces:
        time.sleep(pause)
        yield piece


async def async_chunks(pieces: Iterator[tuple[float, bytes]]) -> AsyncIterator[bytes]:
    """The pieces of a streamed reply, each after its pause, for an asynchronous application."""
    for pause, piece in pieces:
        await asyncio.sleep(pause)
        yield piece


def text(status: int, body: str, *headers: tuple[str, str]) -> Reply:
    """A reply in plain UTF-8 text."""
    content = body.encode()
    return Reply(status, [("content-type", TEXT), ("content-length", str(len(content))), *headers], content)


def as_json(status: int, value: object, *headers: tuple[str, str]) -> Reply:
    """A reply in JSON: sorted keys and no spaces, so that equal values are equal bytes."""
    content = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return Reply(status, [("content-type", JSON), ("content-length", str(len(content))), *headers], content)


def not_found() -> Reply:
    """The reply to a path that no route has."""
    return text(404, "no such path\n")


def not_allowed(route: Route) -> Reply:
    """The reply to a method that the route has not."""
    return text(405, "no such method here\n", ("allow", ", ".join(sorted(route.answers))))


def number(value: str, largest: int) -> int | None:
    """`value` as a whole number from 0 to `largest`, or None."""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 12 and int(value) <= largest else None


def pause(request: Request) -> float:
    """The `pause` of the query string (milliseconds), in seconds."""
    values = parse_qs(request.query).get("pause", ["0"])
    return (number(values[0], MAX_WAIT_MS) or 0) / 1000


# ---------------------------------------------------------------- the routes


def hello(request: Request) -> Reply:
    """The cost of a request and nothing else."""
    return text(200, "Hello, world!\n")


def parsed(request: Request) -> dict[str, Any] | Reply:
    """The JSON object that the body is, or the reply that says what it is not."""
    if request.header("content-type").split(";")[0].strip().lower() != JSON:
        return as_json(422, {"detail": "the content type must be application/json"})
    try:
        form = json.loads(request.body)
    except (ValueError, RecursionError):
        return as_json(422, {"detail": "the body is not JSON"})
    return form if isinstance(form, dict) else as_json(422, {"detail": "the body must be a JSON object"})


def login(request: Request) -> Reply:
    """The documents' example: a JSON body with `email` and `senha` earns a bearer token.

    No account is looked up: any well-formed pair gets the token that belongs to it. `senha` may be a
    string or a whole number, as the documents send it.
    """
    form = parsed(request)
    if isinstance(form, Reply):
        return form
    wrong = {}
    email, senha = form.get("email"), form.get("senha")
    if not isinstance(email, str) or not all(email.partition("@")):
        wrong["email"] = "missing" if "email" not in form else "must be an address, name@host"
    if not isinstance(senha, str | int) or isinstance(senha, bool) or senha == "":
        wrong["senha"] = "missing" if "senha" not in form else "must be a non-empty string or a whole number"
    if wrong:
        return as_json(422, {"detail": wrong})
    token = hashlib.sha256(json.dumps([email, str(senha)]).encode()).hexdigest()
    return as_json(200, {"access_token": token, "token_type": "bearer"})


def order(request: Request) -> Reply:
    """An order, some kB of JSON: every line is checked, and the answer says what each costs, and all."""
    form = parsed(request)
    if isinstance(form, Reply):
        return form
    lines, kinds = form.get("lines"), {"article": str, "pieces": int, "cents": int}
    right = isinstance(lines, list) and all(
        isinstance(line, dict) and all(type(line.get(name)) is kind for name, kind in kinds.items()) for line in lines
    )
    if not right:
        return as_json(422, {"detail": {"lines": "each must have an article, and whole numbers of pieces and cents"}})
    costs = [{"article": line["article"], "cents": line["pieces"] * line["cents"]} for line in form["lines"]]
    return as_json(200, {"lines": costs, "total": sum(line["cents"] for line in costs)})


def request_view(request: Request) -> Reply:
    """The request as the application sees it, in one shape for both interfaces, with the native types.

    `native` maps each key of the environ or scope to the name of its type, so that a server which hands
    over a port as a string shows.
    """
    native = request.native
    if "wsgi.version" in native:
        skipped = ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in native.items()
            if (key.startswith("HTTP_") and key not in skipped) or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
        }
        port = native.get("REMOTE_PORT")
        seen = {
            "interface": request.interface,
            "method": native["REQUEST_METHOD"],
            "path": native["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
            "root_path": native.get("SCRIPT_NAME", ""),
            "scheme": native["wsgi.url_scheme"],
            "http_version": native.get("SERVER_PROTOCOL", "").removeprefix("HTTP/"),
            "client": [native.get("REMOTE_ADDR"), port],
            "server": [native.get("SERVER_NAME"), native.get("SERVER_PORT")],
        }
    else:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in native["headers"]}
        seen = {
            "interface": request.interface,
            "method": native["method"],
            "path": native["path"],
            "root_path": native.get("root_path", ""),
            "scheme": native.get("scheme", "http"),
            "http_version": native["http_version"],
            "client": list(native.get("client") or (None, None)),
            "server": list(native.get("server") or (None, None)),
        }
    types = {str(key): type(value).__name__ for key, value in native.items()}
    return as_json(200, seen | {"query": request.query, "headers": headers, "native": types})


def process_view(request: Request) -> Reply:
    """The process that answers: server, version, interface, application, pid and start time (Unix seconds)."""
    server = os.environ.get("SERVER", "none")
    return as_json(
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
    """The body, as it came, under the content type it came with."""
    kind = request.header("content-type") or "application/octet-stream"
    return Reply(200, [("content-type", kind), ("content-length", str(len(request.body)))], request.body)


def upload(request: Request) -> Reply:
    """How many bytes arrived and their SHA-256; 400 where they are fewer than announced."""
    announced = request.header("content-length")
    if announced and int(announced) != len(request.body):
        return as_json(400, {"detail": f"{len(request.body)} of {announced} bytes arrived"})
    return as_json(200, {"bytes": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest()})


def some_bytes(request: Request) -> Reply:
    """`value` bytes of a repeating pattern."""
    count = number(request.value, MAX_BYTES)
    if count is None:
        return as_json(422, {"detail": f"the number of bytes must be 0 to {MAX_BYTES}"})
    body = (b"0123456789abcdef" * (count // 16 + 1))[:count]
    return Reply(200, [("content-type", "application/octet-stream"), ("content-length", str(count))], body)


def burn(request: Request) -> Reply:
    """CPU work in Python: `value` rounds of SHA-256, each over the digest before it."""
    rounds = number(request.value, MAX_ROUNDS)
    if rounds is None:
        return as_json(422, {"detail": f"the number of rounds must be 0 to {MAX_ROUNDS}"})
    digest = b""
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return as_json(200, {"rounds": rounds, "digest": digest.hex()})


def wait(request: Request) -> Reply:
    """I/O that takes `value` milliseconds: nothing is computed, nothing sent, until they are over."""
    milliseconds = number(request.value, MAX_WAIT_MS)
    if milliseconds is None:
        return as_json(422, {"detail": f"the wait must be 0 to {MAX_WAIT_MS} milliseconds"})
    return text(200, f"waited {milliseconds} ms\n")._replace(delay=milliseconds / 1000)


def stream(request: Request) -> Reply:
    """`value` chunks of unannounced length, `?pause=` milliseconds apart."""
    count, gap = number(request.value, MAX_CHUNKS), pause(request)
    if count is None:
        return as_json(422, {"detail": f"the number of chunks must be 0 to {MAX_CHUNKS}"})
    return Reply(200, [("content-type", TEXT), UNBUFFERED], ((gap, f"chunk {n}\n".encode()) for n in range(count)))


def events(request: Request) -> Reply:
    """`value` server-sent events, `?pause=` milliseconds apart."""
    count, gap = number(request.value, MAX_CHUNKS), pause(request)
    if count is None:
        return as_json(422, {"detail": f"the number of events must be 0 to {MAX_CHUNKS}"})
    headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache"), UNBUFFERED]
    return Reply(200, headers, ((gap, f"id: {n}\ndata: event {n}\n\n".encode()) for n in range(count)))


def status(request: Request) -> Reply:
    """The status `value` (200 to 599), with a body where HTTP allows one."""
    code = number(request.value, 599)
    if code is None or code < 200:
        return as_json(422, {"detail": "the status must be 200 to 599"})
    return Reply(code, [], b"") if code in BODILESS else text(code, f"status {code}\n")


def alive(request: Request) -> Reply:
    """The process answers (`/live`), and may be sent work (`/ready`)."""
    return text(200, "ok\n", ("cache-control", "no-store"))


def cached(request: Request) -> Reply:
    """A page that says how long it may be kept, and by whom: `value` is one of `POLICIES`.

    The serial number shows whether it was made anew, `for` whom it was made, and `language` what the client wanted.
    """
    if request.value not in POLICIES:
        return not_found()
    page = {
        "serial": next(_serials),
        "pid": os.getpid(),
        "for": request.header("authorization") or request.header("cookie"),
        "language": request.header("accept-language"),
    }
    return as_json(200, page, *POLICIES[request.value])._replace(delay=pause(request))


def admin(request: Request) -> Reply:
    """A page of the area that the proxies guard. Each visit is a line of the log, which no proxy can hide."""
    print(f"admin: {request.value}", file=sys.stderr, flush=True)
    return text(200, "the admin area\n", ("cache-control", "no-store"))


ROUTES = (
    Route("/", hello),
    Route("/login", login, ("POST",)),
    Route("/order", order, ("POST",)),
    Route("/request", request_view, ("GET", "POST", "PUT", "PATCH", "DELETE")),
    Route("/request/{value}", request_view),
    Route("/process", process_view),
    Route("/echo", echo, ("POST",)),
    Route("/upload", upload, ("POST", "PUT")),
    Route("/bytes/{value}", some_bytes),
    Route("/burn/{value}", burn),
    Route("/wait/{value}", wait),
    Route("/stream/{value}", stream),
    Route("/events/{value}", events),
    Route("/status/{value}", status),
    Route("/live", alive),
    Route("/ready", alive),
    Route("/cache/{value}", cached),
    Route("/admin/{value}", admin),
)
WEBSOCKET_PATH = "/ws"

_BY_PATH = {route.path.removesuffix("{value}"): route for route in ROUTES}


def match(method: str, path: str) -> tuple[Callable[[Request], Reply], str] | Reply:
    """The handler for a request and the value in its path; or the 404 or 405 reply.

    `path` is decoded text. For applications without a router of their own, and for those whose router
    found nothing.
    """
    route, value = _BY_PATH.get(path), ""
    if route is None or route.path.endswith("}"):
        prefix, _, value = path.rpartition("/")
        route = _BY_PATH.get(f"{prefix}/") if value else None
    if route is None or (value and not route.path.endswith("}")):
        return not_found()
    if method not in route.answers:
        return not_allowed(route)
    return route.handler, value
