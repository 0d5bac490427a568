"""What the servers hand over differently, made the same: the client's address, the scheme, the end of a body.

On the address they disagree: some read `X-Forwarded-For`, some only the scheme, some trust anybody who sends it,
some take the end that the client wrote. Here, a peer inside `FORWARDED_ALLOW_IPS` (addresses or networks,
comma-separated; unset trusts nobody) is a proxy of ours and is believed; anybody else is the client.
Where a server has already put the real address in place, the peer is no proxy and nothing changes.

On a chunked body, WSGI servers should say `wsgi.input_terminated`, or a framework reads nothing; not all do.

Checked by: test_the_app_sees_the_real_client_address_and_scheme, test_a_client_cannot_choose_its_own_address
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
    """Whether the address `peer` belongs to one of the trusted networks."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    return any(address in network for network in _TRUSTED)


def nearest(addresses: str) -> str | None:
    """The last of the comma-separated addresses, the one that our own proxy wrote; None where it is none."""
    candidate = addresses.rpartition(",")[2].strip()
    try:
        ip_address(candidate)
    except ValueError:
        return None
    return candidate


def real(scope: Any) -> Any:
    """A scope whose `client` and `scheme` are the real ones, where a trusted proxy's headers say so."""
    peer = scope.get("client")
    if not (peer and is_proxy(peer[0])):
        return scope
    headers = dict(scope["headers"])
    client = nearest(headers.get(b"x-forwarded-for", b"").decode("latin-1"))
    scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1")
    scope = dict(scope)
    if client:
        scope["client"] = (client, 0)
    if scheme in _SCHEMES:
        scope["scheme"] = _SCHEMES[scheme] if scope["type"] == "websocket" else scheme
    return scope


class Asgi:
    """Wraps an ASGI application: `scope["client"]` and `scope["scheme"]` become the real ones."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes every event through; a trusted proxy's headers change the scope first."""
        await self.app(real(scope), receive, send)


class Wsgi:
    """Wraps a WSGI application: `REMOTE_ADDR` and `wsgi.url_scheme` become the real ones.

    A chunked body is readable to its end, or is answered with 411 where the server does not decode it.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Passes the call through; a trusted proxy's headers change the environ first."""
        if is_proxy(environ.get("REMOTE_ADDR")):
            client = nearest(environ.get("HTTP_X_FORWARDED_FOR", ""))
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "")
            if client:
                environ["REMOTE_ADDR"] = client
                environ.pop("REMOTE_PORT", None)
            if scheme in _SCHEMES:
                environ["wsgi.url_scheme"] = scheme
        if environ.get("HTTP_TRANSFER_ENCODING") and not environ.get("wsgi.input_terminated"):
            if not isinstance(environ["wsgi.input"], io.BytesIO):
                start_response("411 Length Required", [("content-length", "0")])
                return [b""]
            environ["wsgi.input_terminated"] = True  # all of it is here
        return self.app(environ, start_response)
