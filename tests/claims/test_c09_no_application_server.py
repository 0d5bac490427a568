"""C09: a language with an HTTP server in its library needs no application server; the baseline of every number here."""

import http.client
import statistics
from pathlib import Path

import pytest

from loadtests.run import engine_counters
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, stock
from tests.support.engine import docker
from tests.support.stack import IMAGES, StackUnderTest, is_open

CLAIM = Claim("C09", "Languages such as Go and Rust need no application server: the HTTP server is in the program")
REQUESTS, ROUNDS = 500, 5
HELLO = "Hello, world!"
BOTH = {
    "nginx": (
        f'upstream app {{ server app:8000; }} server {{ listen 8080; location /own {{ return 200 "{HELLO}"; }} '
        "location / { proxy_pass http://app; } }"
    ),
    "caddy": f':8080 {{\n respond /own "{HELLO}"\n reverse_proxy app:8000\n}}',
}
PROGRAM = {"caddy": "Caddy (Go, net/http)", "nginx": "NGINX (C)", "granian": "Granian (Rust, hyper)"}


def ask(connection: http.client.HTTPConnection, path: str) -> bytes:
    """One request on a connection that is kept; asserted to be answered."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{path}: {answer.status}"
    return body


def cost(containers: list[str], address: str, port: int, path: str) -> float:
    """CPU of the containers together for one request, in µs, over one window of REQUESTS on one connection."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        before = engine_counters.cpu_seconds(*containers)
        for _ in range(REQUESTS):
            ask(connection, path)
        after = engine_counters.cpu_seconds(*containers)
    finally:
        connection.close()
    return (after - before) / REQUESTS * 1e6


@pytest.mark.long
@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_a_web_server_answers_by_itself(stack: StackUnderTest, kind: str, finding: Finding, tmp_path: Path) -> None:
    stack.serve("granian", "asgi")
    with stock.proxy(stack, kind, BOTH[kind], tmp_path) as one:
        connection = http.client.HTTPConnection(one.address, 8080, timeout=10)
        assert ask(connection, "/own") == HELLO.encode()
        assert ask(connection, "/") == f"{HELLO}\n".encode()
        connection.close()
        processes = set(docker("exec", one.container, "sh", "-c", "cat /proc/[0-9]*/comm").split()) - {"sh", "cat"}
        own, proxied = [], []
        for _ in range(ROUNDS):  # interleaved: what disturbs the machine disturbs both
            own.append(cost([one.container, stack.app()], one.address, 8080, "/own"))
            proxied.append(cost([one.container, stack.app()], one.address, 8080, "/"))
    finding[kind] = {"processes": sorted(processes), "own": own, "with": proxied, "what": "granian behind it"}


@pytest.mark.long
def test_granian_answers_a_file_without_python(stack: StackUnderTest, finding: Finding) -> None:
    command = ["run", "--detach", "--label", f"{LABEL}.project={stack.compose.project}", f"{IMAGES}-app"]
    command += [
        "granian",
        "--interface",
        "asgi",
        "--host",
        "0.0.0.0",
        "--workers",
        "1",
        "--static-path-mount",
        "/srv/apps/static",
    ]
    container = docker(*command, "apps.asgi.bare:app")
    try:
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = stack.compose.inspect(container, template)
        assert wait_until(lambda: is_open(address, 8000), 20), stack.compose.logs(container)
        connection = http.client.HTTPConnection(address, 8000, timeout=10)
        assert ask(connection, "/static/hello.txt").startswith(b"A static file")
        connection.close()
        own, python = [], []
        for _ in range(ROUNDS):
            own.append(cost([container], address, 8000, "/static/hello.txt"))
            python.append(cost([container], address, 8000, "/"))
    finally:
        docker("rm", "--force", container, check=False)
    finding["granian"] = {"own": own, "with": python, "what": "the application in it"}


def spread(values: list[float]) -> str:
    """Median and range, in whole µs."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def conclude(found: Finding) -> Conclusion:
    """Holds if the Go program alone answered: no other process was in its container."""
    alone = found["caddy"]["processes"] == ["caddy"]
    ratio = {name: statistics.median(one["with"]) / statistics.median(one["own"]) for name, one in found.items()}
    rows = [
        [PROGRAM[name], spread(one["own"]), spread(one["with"]), one["what"], f"{ratio[name]:.1f}"]
        for name, one in found.items()
    ]
    evidence = (
        "A container with the Go program Caddy and no other process answers by itself, at "
        f"{statistics.median(found['caddy']['own']):.0f} µs of CPU a request; with a Python application server behind "
        f"it such an answer costs {ratio['caddy']:.1f} times as much."
    )
    table = Table(
        "The baseline: no application server",
        ["program", "own answer, CPU µs a request", "with Python, CPU µs a request", "which is", "ratio"],
        rows,
        f"{ROUNDS} interleaved rounds of {REQUESTS} requests on one kept connection: median and range. "
        "HTTP/1.1 without TLS, stock configurations, all containers' CPU together. Ratios on this machine, no ranking.",
    )
    return Conclusion("holds" if alone else "never was", evidence, (table,))
