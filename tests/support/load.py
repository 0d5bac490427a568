"""A light, steady load, for tests of what a swap does to requests."""

import threading
from collections import Counter
from collections.abc import Callable

import niquests

from tests.support.clients import Clients


def read_server(answer: niquests.Response) -> str:
    """The server that a demonstration names at /process."""
    return answer.json()["server"]


class Load:
    """Requests through one proxy, from one client. Every answer is counted, and by which server or version it came.

    An own application has paths of its own: `path`, and `read_version`, which finds the version in an answer.
    """

    def __init__(
        self,
        stack: Clients,
        proxy: str,
        method: str,
        path: str = "",
        read_version: Callable[[niquests.Response], str] = read_server,
    ) -> None:
        self.client, self.proxy, self.method = stack.new_session(proxy), proxy, method
        self.path = path or ("/upload" if method == "POST" else "/process")
        self.read_version = read_version
        self.answers: Counter[str] = Counter()
        self.servers: Counter[str] = Counter()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        body = b"x" if self.method == "POST" else None
        for _ in range(6000):  # bounded, whatever happens to the test
            if self.over.wait(0.02):
                break
            try:
                answer = self.client.request(self.method, self.path, data=body, timeout=20)
                self.answers[str(answer.status_code)] += 1
                if answer.status_code == 200 and not body:
                    self.servers[self.read_version(answer)] += 1
            except OSError as error:
                self.answers[type(error).__name__] += 1
        self.client.close()

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(timeout=30)
