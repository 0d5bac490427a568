"""What does a request cost the generator?

`GET /` as in hello, by two clients in a closed loop. Both kinds of user check the status and every byte. They are
compared by requests per CPU second of the generator, which is not busy all the time.
"""

from locust import FastHttpUser, task

from loadtests.generator.lean_user import LeanUser

PLAN = {"SERVERS": "granian", "INTERFACES": "asgi", "PROXIES": "direct"}
GREETING = b"Hello, world!\n"


class Lean(LeanUser):
    """The bench's own user."""

    modes = ("ceiling",)
    tool = "locust"
    clients = 2
    reply = GREETING


class Fast(FastHttpUser):
    """Locust's FastHttpUser."""

    modes = ("ceiling",)
    tool = "locust"
    clients = 2
    rate = 10.0

    def wait_time(self) -> float:
        """None in a closed loop."""
        return 1 / self.rate if self.rate else 0.0

    @task
    def ask(self) -> None:
        """A request and its answer."""
        with self.client.get("/", catch_response=True) as answer:
            if answer.status_code != 200 or answer.content != GREETING:
                answer.failure(f"status {answer.status_code}, {len(answer.content)} bytes")
