"""Makes these equal under every server: the client's address, the scheme, bodies, headers of a reply, and streams.

The servers disagree on the address. Some read `X-Forwarded-For`, and some read only the scheme. Some trust every peer,
and some take the first address of the list, which the client can choose.

The rule here: a peer in `FORWARDED_ALLOW_IPS` is a proxy, and its headers name the client: the last address of
`X-Forwarded-For` that is no proxy's. Every other peer is the client. `FORWARDED_ALLOW_IPS` holds addresses or
networks, separated by commas. Where it is unset, no peer is a proxy. Where a server has already set the client's
address, the peer is the client, so nothing changes.

The proxies write one address. Traefik behind a load balancer passes the balancer's list on and adds the balancer. Then
`X-Forwarded-For` and `X-Real-IP` become the client's address, as behind the other proxies.

A WSGI server should set `wsgi.input_terminated` for a chunked body. Without it a framework reads no body. Some servers
do not set it. What else servers do with a body: request_body.py.

Headers for one connection only, such as `Transfer-Encoding`, belong to the server. A server that passes on an
application's own writes a reply that no proxy can read. So the gateway removes them.

A reply without a Content-Length is a stream: the gateway tells NGINX with `X-Accel-Buffering: no` to pass on each piece
at once. Without this header NGINX collects pieces where it compresses. Other proxies pass the header on, and need none.

Checked by: test_the_app_sees_the_real_client_address_and_scheme, test_a_client_cannot_choose_its_own_address,
test_a_balancer_names_the_client, test_a_stream_arrives_piece_by_piece
"""

import io
import os
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from . import log_request_id, websockets
from .request_body import UNKNOWN, AsgiBody, WsgiBody, WsgiReply, read_length

_TRUSTED = tuple(
    ip_network(name.strip(), strict=False)
    for name in os.environ.get("FORWARDED_ALLOW_IPS", "").split(",")
    if name.strip() and name.strip() != "*"
)
_SCHEMES = {"http": "ws", "https": "wss"}
HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


@lru_cache(maxsize=1024)
def is_proxy(peer: str | None) -> bool:
    """Whether the address `peer` is in one of the trusted networks."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    return any(address in network for network in _TRUSTED)


@lru_cache(maxsize=1024)
def read_client(addresses: str) -> str | None:
    """The client, of the addresses that are separated by commas; None where its place holds no address.

    The nearest proxy wrote the last address. The client can choose the addresses before its own.
    """
    names = [name.strip() for name in addresses.split(",")]
    client = next((name for name in reversed(names) if not is_proxy(name)), names[0])
    try:
        ip_address(client)
    except ValueError:
        return None
    return client


def apply_forwarded_headers(scope: Any) -> Any:
    """The scope with the client and the scheme that a trusted proxy's headers name."""
    peer = scope.get("client")
    if not (peer and is_proxy(peer[0])):
        return scope
    headers = dict(scope["headers"])
    addresses = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    client = read_client(addresses)
    scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1")
    scope = dict(scope)
    if client:
        scope["client"] = (client, 0)
        if "," in addresses:
            names = {b"x-forwarded-for": client.encode(), b"x-real-ip": client.encode()}
            kept = [header for header in scope["headers"] if header[0] not in names]
            scope["headers"] = [*kept, *names.items()]
    if scheme in _SCHEMES:
        scope["scheme"] = _SCHEMES[scheme] if scope["type"] == "websocket" else scheme
    return scope


class _Names(NamedTuple):
    """The headers that `check_headers` knows, as WSGI or as ASGI writes them."""

    hop_by_hop: frozenset[Any]
    length: Any
    policy: Any
    public: Any
    mark: tuple[Any, Any]


TEXT_NAMES = _Names(HOP_BY_HOP, "content-length", "cache-control", "public", ("x-accel-buffering", "no"))
BYTE_NAMES = _Names(
    frozenset(name.encode() for name in HOP_BY_HOP),
    b"content-length", b"cache-control", b"public", (b"x-accel-buffering", b"no"),
)  # fmt: skip


def check_headers(headers: Any, names: _Names) -> Any:
    """The headers of a reply without hop-by-hop headers, and marked where the reply is a stream.

    A reply that a cache may keep stays unmarked, because NGINX keeps no marked reply. So does a reply that the
    application has marked, with `no` or `yes`.
    """
    is_stream, has_hop_by_hop = True, False
    for name, value in headers:
        lower = name.lower()
        if lower == names.length or lower == names.mark[0] or (lower == names.policy and names.public in value):
            is_stream = False
        elif lower in names.hop_by_hop:
            has_hop_by_hop = True
    if has_hop_by_hop:
        headers = [pair for pair in headers if pair[0].lower() not in names.hop_by_hop]
    return [*headers, names.mark] if is_stream else headers


class Asgi:
    """Wraps an ASGI application. `scope["client"]` and `scope["scheme"]` become the client's own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Applies a trusted proxy's headers to the scope, calls the application, and checks the reply's headers."""
        if scope["type"] != "lifespan":
            log_request_id.note(scope["headers"])
        if scope["type"] == "websocket":
            await websockets.serve(self.app, apply_forwarded_headers(scope), receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def send_checked(event: Any) -> Any:
            if event["type"] == "http.response.start":
                event["headers"] = check_headers(event.get("headers", ()), BYTE_NAMES)
            return send(event)

        length = read_length(scope["headers"])
        if not length:
            await self.app(apply_forwarded_headers(scope), receive, send_checked)
            return
        body = AsgiBody(length, receive, send_checked)
        try:
            await self.app(apply_forwarded_headers(scope), body.receive, body.send)
        except Exception:
            await body.drain()
            raise


class Wsgi:
    """Wraps a WSGI application. `REMOTE_ADDR` and `wsgi.url_scheme` become the client's own.

    The application can read a body to its end. Where the server does not decode chunks, the reply is 411.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Applies a trusted proxy's headers to the environ, calls the application, and checks the reply's headers."""
        log_request_id.current.set(environ.get("HTTP_X_REQUEST_ID", ""))
        if is_proxy(environ.get("REMOTE_ADDR")):
            addresses = environ.get("HTTP_X_FORWARDED_FOR", "")
            client = read_client(addresses)
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "")
            if client:
                environ["REMOTE_ADDR"] = client
                environ.pop("REMOTE_PORT", None)
                if "," in addresses:
                    environ["HTTP_X_FORWARDED_FOR"] = environ["HTTP_X_REAL_IP"] = client
            if scheme in _SCHEMES:
                environ["wsgi.url_scheme"] = scheme
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if environ.get("HTTP_TRANSFER_ENCODING"):
            length = UNKNOWN
            if not environ.get("wsgi.input_terminated"):
                if not isinstance(environ["wsgi.input"], io.BytesIO):
                    start_response("411 Length Required", [("content-length", "0")])
                    return [b""]
                environ["wsgi.input_terminated"] = True  # the server has read the whole body

        def start_checked(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, check_headers(headers, TEXT_NAMES), *error)

        if not length:
            return self.app(environ, start_checked)
        return self.call_with_body(environ, start_checked, length)

    def call_with_body(self, environ: dict[str, Any], start_response: Any, length: int) -> Iterable[bytes]:
        """Calls the application with a body of this length, of which it may leave a part unread."""
        body = WsgiBody(length, environ["wsgi.input"])
        environ["wsgi.input"] = io.BufferedReader(body)

        def start_measured(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            lengths = (int(value) for name, value in headers if name.lower() == "content-length")
            body.reply_length = next(lengths, UNKNOWN)
            return start_response(status, headers, *error)

        try:
            pieces = self.app(environ, start_measured)
            if isinstance(pieces, list):
                body.drain()
            return pieces if body.is_over else WsgiReply(pieces, body)
        except Exception:
            body.drain()
            raise
