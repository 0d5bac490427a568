"""What does the talk's example cost?

`POST /login` with a JSON body, which is parsed and validated; the answer is a token. The example is that of the talk
"Web/Asynchronous Server Gateway Interface" (Live de Python #301, October 2025), whose slides are in Portuguese: `senha`
is a password.
"""

from types import MappingProxyType

from loadtests.generator.lean_user import LeanUser


class Login(LeanUser):
    """Logs in."""

    method, path = "POST", "/login"
    headers = MappingProxyType({"Content-Type": "application/json"})
    body = b'{"email": "ana@example.org", "senha": "1234"}'
    reply = b'{"access_token":"20b13de64359f8054197ddd94fcfd4087ac61e271c123ad7c6fd0cd012c6a1d9","token_type":"bearer"}'
