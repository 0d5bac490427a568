"""What do the loader and the gateway cost?

`GET /` as in hello, directly: the application inside the gateway, as the stack serves it, and the same command of the
same server with the application itself.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"SERVERS": "granian,gunicorn,uvicorn", "PROXIES": "direct", "APPS": "bare,bare-by-hand", "MODES": "ceiling"}


class Gateway(LeanUser):
    """Asks for the greeting."""

    reply = b"Hello, world!\n"
