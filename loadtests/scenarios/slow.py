"""How many slow clients can there be until the others suffer?

16 users ask for the greeting at the usual rate. Beside them, each slow client keeps a request under way: it sends the
head, and then a byte of the body five times a second. A server that needs a thread or worker for each request runs out
of them.
"""

from loadtests.generator.slow_clients import BesideSlowUser

PLAN = {"SERVERS": "granian,gunicorn,uvicorn", "PROXIES": "direct,nginx,caddy"}


class Slow0(BesideSlowUser):
    """Nobody is slow."""

    modes = ("rate",)
    reply = b"Hello, world!\n"
    companions = 0


class Slow16(Slow0):
    """16 slow clients."""

    companions = 16


class Slow64(Slow0):
    """64 slow clients."""

    companions = 64


class Slow256(Slow0):
    """256 slow clients."""

    companions = 256
