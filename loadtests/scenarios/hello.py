"""What does a request cost?

`GET /`: fourteen bytes, made by the smallest possible handler. So the server is measured, not the application.
"""

from loadtests.generator.lean_user import LeanUser


class Hello(LeanUser):
    """Asks for the greeting."""

    own_answer = ("nginx", "caddy")
    reply = b"Hello, world!\n"
