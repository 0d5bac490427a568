"""What does a WebSocket message cost, and a client that stays?

`/ws`: sixteen characters there and back, in a closed loop. A message and its echo count as a request. The clients stay
connected until the memory is read, so the two rows differ by the memory of 240 clients.
"""

from loadtests.generator.websocket_user import WebSocketUser

PLAN = {"INTERFACES": "asgi", "PROXIES": "direct,nginx"}


class Sockets16(WebSocketUser):
    """16 clients."""

    modes = ("ceiling",)
    tool = "locust"
    body = b"0123456789abcdef"


class Sockets256(Sockets16):
    """256 clients."""

    clients = 256
