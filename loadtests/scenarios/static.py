"""What does a static file cost?

`GET /static/hello.txt`: the web server answers by itself. No application takes part.
"""

from loadtests.generator.lean_user import LeanUser

PLAN = {"SERVERS": "none", "PROXIES": "nginx,caddy,apache"}


class Static(LeanUser):
    """Asks for the file."""

    own_answer = ("nginx", "caddy", "apache")
    path = "/static/hello.txt"
    reply = b"A static file, answered by the web server: no application takes part.\n"
