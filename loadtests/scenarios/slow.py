"""How many slow clients can there be until the others suffer?

While 16 users ask for the greeting at the usual rate, some others each keep a request under way: its head, and then a
byte of its body five times a second. Who gives a thread or a worker to every request runs out of them.
"""

from loadtests.generator.streams import BesideSlowUser

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
