"""What does one megabyte down cost?

`GET /bytes/1048576`, made by the application.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"PROXIES": "direct,nginx,caddy"}


class Download(LeanUser):
    """Asks for a megabyte."""

    path = "/bytes/1048576"
    reply = b"0123456789abcdef" * 65536
    offered = 20
