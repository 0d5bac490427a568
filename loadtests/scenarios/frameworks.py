"""What does a framework cost?

`GET /` as in hello, from every application on the same server. The application without a framework costs least.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {
    "SERVERS": "granian",
    "APPS": "bare,blacksheep,django,fastapi,quart,starlette,bottle,flask",
    "PROXIES": "direct",
}


class Frameworks(LeanUser):
    """Asks for the greeting."""

    reply = b"Hello, world!\n"
