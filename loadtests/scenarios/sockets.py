"""What does a WebSocket message cost, and a client that stays?

`/ws`: sixteen characters there and back, in a closed loop. A request is a message and its echo here. The clients stay
connected until the memory is read: the two rows' difference is that of 240 of them.
"""

from loadtests.generator.streams import SocketUser

PLAN = {"INTERFACES": "asgi", "PROXIES": "direct,nginx"}


class Sockets16(SocketUser):
    """16 clients."""

    modes = ("ceiling",)
    tool = "locust"
    body = b"0123456789abcdef"


class Sockets256(Sockets16):
    """256 clients."""

    clients = 256
