"""What does a request cost?

`GET /`: fourteen bytes, made by the smallest handler there is. What is measured is the server, not the application.
"""

from loadtests.generator.lean_user import LeanUser


class Hello(LeanUser):
    """Asks for the greeting."""

    alone = ("nginx", "caddy")
    reply = b"Hello, world!\n"
