"""What does a request that waits cost?

The application waits, as for a database. By Little's law, at most clients ÷ wait requests are answered a second, and by
T threads at most T ÷ wait.
"""

from loadtests.generator.lean_user import LeanUser


class Wait10(LeanUser):
    """10 ms: at most 1600 requests a second by 16 clients, 800 by 8 threads."""

    path = "/wait/10"
    reply = b"waited 10 ms\n"


class Wait100(LeanUser):
    """100 ms: at most 640 requests a second by 64 clients, 80 by 8 threads."""

    path = "/wait/100"
    reply = b"waited 100 ms\n"
    clients = 64
    offered = 50
