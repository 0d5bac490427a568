"""What does a server-sent event cost, and a client that listens?

`GET /events/25`: a stream of 25 messages, sent without a pause, and then the next stream. Each message counts as a
request. The clients stay connected until the memory is read, so the two rows differ by the memory of 240 clients.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"INTERFACES": "asgi", "PROXIES": "direct,nginx"}


class Events16(LeanUser):
    """16 clients."""

    modes = ("ceiling",)
    tool = "locust"
    path = "/events/25"
    reply = b"".join(b"id: %d\ndata: event %d\n\n" % (n, n) for n in range(25))
    messages = 25
    hold = True


class Events256(Events16):
    """256 clients."""

    clients = 256
    seconds = 1.85  # one stream takes most of a second
