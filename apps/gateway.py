"""Makes four things equal under every server: the client's address, the scheme, the end of a chunked body, and streams.

The servers disagree on the address. Some read `X-Forwarded-For`, and some read only the scheme. Some trust every peer,
and some take the first address of the list, which the client can choose.

The rule here: a peer in `FORWARDED_ALLOW_IPS` is a proxy, and its headers name the client: the last address of
`X-Forwarded-For` that is no proxy's. Every other peer is the client. `FORWARDED_ALLOW_IPS` holds addresses or
networks, separated by commas. Where it is unset, no peer is a proxy. Where a server has already set the client's
address, the peer is the client, so nothing changes.

The proxies write one address. Traefik behind a load balancer passes the balancer's list on and adds the balancer. Then
`X-Forwarded-For` and `X-Real-IP` become the client's address, as behind the other proxies.

A WSGI server should set `wsgi.input_terminated` for a chunked body. Without it a framework reads no body. Some servers
do not set it.

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
from typing import Any

_TRUSTED = tuple(
    ip_network(name.strip(), strict=False)
    for name in os.environ.get("FORWARDED_ALLOW_IPS", "").split(",")
    if name.strip() and name.strip() != "*"
)
_SCHEMES = {"http": "ws", "https": "wss"}


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


# Names of headers and their values for `mark_stream`, as WSGI and as ASGI write them.
TEXT_NAMES = ("content-length", "cache-control", "public", ("x-accel-buffering", "no"))
BYTE_NAMES = (b"content-length", b"cache-control", b"public", (b"x-accel-buffering", b"no"))


def mark_stream(headers: Iterable[tuple[Any, Any]], names: Any) -> Iterable[tuple[Any, Any]]:
    """The headers of a reply, marked where the reply is a stream.

    A reply that a cache may keep stays as it is, because NGINX keeps no marked reply. So does a reply that the
    application has marked, with `no` or `yes`.
    """
    length, policy, public, mark = names
    for name, value in headers:
        lower = name.lower()
        if lower == length or lower == mark[0] or (lower == policy and public in value):
            return headers
    return [*headers, mark]


class Asgi:
    """Wraps an ASGI application. `scope["client"]` and `scope["scheme"]` become the client's own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Applies a trusted proxy's headers to the scope, calls the application, and marks a stream."""

        def send_marked(event: Any) -> Any:
            if event["type"] == "http.response.start":
                event["headers"] = mark_stream(event.get("headers", ()), BYTE_NAMES)
            return send(event)

        await self.app(apply_forwarded_headers(scope), receive, send_marked)


class Wsgi:
    """Wraps a WSGI application. `REMOTE_ADDR` and `wsgi.url_scheme` become the client's own.

    The application can read a chunked body to its end. Where the server does not decode chunks, the reply is 411.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Applies a trusted proxy's headers to the environ, calls the application, and marks a stream."""

        def start_marked(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, mark_stream(headers, TEXT_NAMES), *error)

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
        if environ.get("HTTP_TRANSFER_ENCODING") and not environ.get("wsgi.input_terminated"):
            if not isinstance(environ["wsgi.input"], io.BytesIO):
                start_response("411 Length Required", [("content-length", "0")])
                return [b""]
            environ["wsgi.input_terminated"] = True  # the server has read the whole body
        return self.app(environ, start_marked)
