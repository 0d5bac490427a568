"""What does a connection cost?

`GET /` as in hello, but each request on a connection of its own: TCP where the server is asked directly, TCP and a
whole TLS handshake at a proxy. The difference to hello is what keep-alive saves.
"""

from types import MappingProxyType

from loadtests.generator.lean_user import LeanUser


class Connections(LeanUser):
    """Connects, asks for the greeting, and leaves."""

    headers = MappingProxyType({"Connection": "close"})
    reply = b"Hello, world!\n"
    keep = False
    offered = 100
