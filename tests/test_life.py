"""Starting, swapping and recovering: what the stack does while its parts come and go."""

import threading
import time
from collections import Counter

import pytest

from stack import Problem, up
from tests import live
from tests.live import Stack, eventually


class Load:
    """A light, steady stream of requests, GET and POST in turn, through one proxy; every answer is counted."""

    def __init__(self, stack: Stack, proxy: str, every: float = 0.03) -> None:
        self.stack, self.proxy, self.every = stack, proxy, every
        self.answers: Counter[str] = Counter()
        self.servers: Counter[str] = Counter()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        for number in range(4000):  # bounded, whatever happens to the test
            if self.over.is_set():
                return
            method, path = (("GET", "/process"), ("POST", "/echo"))[number % 2]
            try:
                answer = self.stack.request(self.proxy, method, path, data=b"x" if method == "POST" else None)
                self.answers[f"{method} {answer.status_code}"] += 1
                if method == "GET" and answer.status_code == 200:
                    self.servers[answer.json()["server"]] += 1
            except OSError as error:
                self.answers[f"{method} {type(error).__name__}"] += 1
            time.sleep(self.every)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(timeout=30)


def started(stack: Stack, service: str) -> str:
    (one,) = stack.compose.containers(service)
    return f"{one} {stack.compose.inspect(one, '{{.State.StartedAt}}')}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("uvicorn", "granian"),
        ("granian", "gunicorn"),
        ("gunicorn", "uvicorn"),
        ("hypercorn", "granian"),
        ("daphne", "granian"),
        ("gunicorn-uvicorn", "granian"),
    ]
    * 2,
)
def test_the_server_is_swapped_under_load(stack: Stack, old: str, new: str) -> None:
    stack.serve(old, "asgi")
    proxies = {proxy: started(stack, proxy) for proxy in live.PROXIES}
    with Load(stack, "nginx") as one, Load(stack, "caddy") as two:
        assert eventually(lambda: one.servers[old] > 20 and two.servers[old] > 20)
        stack.settings(new, "asgi", "bare")
        up.swap(stack.compose)
        stack.serving = (new, "asgi", "bare")
        assert eventually(lambda: one.servers[new] > 20 and two.servers[new] > 20), (
            "the proxies did not find the new one"
        )
        last = one.servers[old], two.servers[old]
        assert not eventually(lambda: (one.servers[old], two.servers[old]) != last, 1), "the old one still answers"
    for load in (one, two):
        assert set(load.answers) == {"GET 200", "POST 200"}, f"{load.proxy}: {dict(load.answers)}"
    assert proxies == {proxy: started(stack, proxy) for proxy in live.PROXIES}, "a proxy was restarted"


def test_a_swap_to_a_server_that_does_not_start_leaves_the_old_one(stack: Stack) -> None:
    stack.serve("uvicorn", "asgi")
    before = stack.app()
    stack.settings("granian", "asgi", "bare", HEALTH_PATH="/nowhere")
    try:
        stack.compose.environment["HEALTH_PATH"] = "/status/503"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(up, "READY_SECONDS", 5)
            with pytest.raises(Problem, match="did not answer"):
                up.swap(stack.compose)
    finally:
        del stack.compose.environment["HEALTH_PATH"]
        stack.settings("uvicorn", "asgi", "bare")
    assert stack.compose.containers("app", everything=True) == [before]
    assert stack.get("nginx", "/process").json()["server"] == "uvicorn"


def test_the_proxies_start_without_the_app_and_find_it(stack: Stack, proxy: str) -> None:
    live.docker("rm", "--force", *stack.compose.containers("app", everything=True), check=False)
    stack.serving = None
    (one,) = stack.compose.containers(proxy)
    live.docker("restart", one)
    assert eventually(lambda: "502" in status(stack, proxy) or "503" in status(stack, proxy), 20), status(stack, proxy)
    assert stack.get(proxy, "/static/hello.txt").status_code == 200  # and does what it can do alone
    stack.compose.run("up", "--detach", "--no-build", "--no-deps", "app")
    assert eventually(lambda: status(stack, proxy) == "200", 20), status(stack, proxy)
    assert live.docker("exec", one, "ls", "/certs/ca.pem")


def status(stack: Stack, proxy: str) -> str:
    return up.ask("127.0.0.1", stack.https_port(proxy), live.NAME, "/ready", stack.ca.read_text())


def test_every_replica_gets_requests(stack: Stack, proxy: str) -> None:
    stack.serve("granian", "asgi", WORKERS="1")
    stack.compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", "app=2", "app")
    try:
        up.wait_for_app(stack.compose, stack.compose.containers("app"))
        # The containers' processes have the same pid, so it is the start time that tells them apart.
        assert eventually(lambda: len({stack.get(proxy, "/process").json()["started"] for _ in range(10)}) == 2)
    finally:
        stack.compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", "app=1", "app")
        stack.serving = None


def test_a_killed_worker_is_replaced(stack: Stack) -> None:
    stack.serve("granian", "asgi")
    before = stack.get("nginx", "/process").json()["pid"]
    stack.in_app(f"import os; os.kill({before}, 9)")

    def replaced() -> bool:
        seen = {stack.get("nginx", "/process").json().get("pid") for _ in range(5)}
        return before not in seen

    assert eventually(replaced)
    assert stack.compose.inspect(stack.app(), "{{.RestartCount}}") == "0", "the container was restarted, not the worker"


def test_the_certificate_is_kept_until_its_names_change(stack: Stack) -> None:
    def fingerprints(**environment: str) -> list[str]:
        stack.compose.run("up", "--no-build", "--no-deps", "certs", capture=True, check=True, **environment)
        mount = f"{stack.compose.project}_certs:/certs:ro"
        run = ["run", "--rm", "--network", "none", "--group-add", "10100", "--volume", mount, f"{live.IMAGES}-app"]
        return live.docker(*run, "sha256sum", "/certs/ca.pem", "/certs/fullchain.pem").splitlines()

    first = fingerprints()
    assert fingerprints() == first
    other = fingerprints(DOMAIN="localhost 127.0.0.1 shop.example")
    assert other[0] == first[0], "the authority must stay, or trust in it is lost"
    assert other[1] != first[1]
    back = fingerprints()
    assert back[0] == first[0]
