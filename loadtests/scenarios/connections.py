"""What does a connection cost?

`GET /` as in hello, but each request opens a new connection: TCP directly to the server, TCP and a whole TLS handshake
to a proxy. The difference from hello is what keep-alive saves.
"""

from types import MappingProxyType

from loadtests.generator.lean_user import LeanUser


class Connections(LeanUser):
    """Connects, asks for the greeting, and leaves."""

    headers = MappingProxyType({"Connection": "close"})
    reply = b"Hello, world!\n"
    keep = False
    offered = 100
