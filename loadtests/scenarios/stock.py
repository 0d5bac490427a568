"""What do this stack's proxies cost, against the shortest configuration that proxies?

`GET /` as in hello: directly, behind NGINX and Caddy with this stack's configuration, and behind each with a stock
configuration, which has only the lines that a proxy needs.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {
    "SERVERS": "granian",
    "INTERFACES": "asgi",
    "PROXIES": "direct,nginx,nginx-stock,caddy,caddy-stock",
    "MODES": "ceiling",
}


class Stock(LeanUser):
    """Asks for the greeting."""

    own_answer = ("nginx", "caddy")
    reply = b"Hello, world!\n"
