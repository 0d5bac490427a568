"""What do HTTP/1.1, HTTP/2 and HTTP/3 cost at the edge?

`GET /` as in hello, up to 16 requests at a time: on 16 connections over HTTP/1.1 and HTTP/2, on one over HTTP/3. The
proxy always speaks HTTP/1.1 to the application.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"HTTP": "1.1,2,3", "SERVERS": "granian", "INTERFACES": "asgi", "PROXIES": "nginx,caddy", "MODES": "ceiling"}


class Protocols(LeanUser):
    """Asks for the greeting."""

    modes = ("ceiling",)
    own_answer = ("nginx", "caddy")
    reply = b"Hello, world!\n"
