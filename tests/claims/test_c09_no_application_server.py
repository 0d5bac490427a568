"""C09: a language with an HTTP server in its library needs no application server. What does an answer cost then?"""

import http.client
import statistics
from pathlib import Path

import pytest

from loadtests.run import engine_counters
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table
from tests.claims.support.stock_proxies import run_stock_proxy
from tests.support.engine import address_in, exec_in, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest, is_open

CLAIM = Claim("C09", "Languages such as Go and Rust need no application server: the HTTP server is in the program")
REQUESTS, ROUNDS = 500, 5
HELLO = "Hello, world!"
# Two paths: one that the program answers itself, and one that a Python application server answers.
CONFIGURATIONS = {
    "nginx": (
        f'upstream app {{ server app:8000; }} server {{ listen 8080; location /own {{ return 200 "{HELLO}"; }} '
        "location / { proxy_pass http://app; } }"
    ),
    "caddy": f':8080 {{\n respond /own "{HELLO}"\n reverse_proxy app:8000\n}}',
}
PROGRAM = {"caddy": "Caddy (Go, net/http)", "nginx": "NGINX (C)", "granian": "Granian (Rust, hyper)"}


def get_body(connection: http.client.HTTPConnection, path: str) -> bytes:
    """The body of one GET on a connection that stays open. Its status must be 200."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{path}: {answer.status}"
    return body


def measure_cpu(containers: list[str], address: str, port: int, path: str) -> float:
    """CPU time of all these containers together, in µs a request, over REQUESTS requests on one connection."""
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        before = engine_counters.cpu_seconds(*containers)
        for _ in range(REQUESTS):
            get_body(connection, path)
        after = engine_counters.cpu_seconds(*containers)
    finally:
        connection.close()
    return (after - before) / REQUESTS * 1e6


@pytest.mark.long
@pytest.mark.parametrize("kind", ["caddy", "nginx"])
def test_a_web_server_answers_by_itself(stack: StackUnderTest, kind: str, finding: Finding, tmp_path: Path) -> None:
    stack.serve("granian", "asgi")
    with run_stock_proxy(stack, kind, CONFIGURATIONS[kind], tmp_path) as stock:
        connection = http.client.HTTPConnection(stock.address, 8080, timeout=10)
        assert get_body(connection, "/own") == HELLO.encode()
        assert get_body(connection, "/") == f"{HELLO}\n".encode()
        connection.close()
        processes = set(exec_in(stock.container, "sh", "-c", "cat /proc/[0-9]*/comm").split()) - {"sh", "cat"}
        own, proxied = [], []
        for _ in range(ROUNDS):  # interleaved, so that a disturbance of the machine affects both
            own.append(measure_cpu([stock.container, stack.app()], stock.address, 8080, "/own"))
            proxied.append(measure_cpu([stock.container, stack.app()], stock.address, 8080, "/"))
    finding[kind] = {"processes": sorted(processes), "own": own, "with": proxied, "what": "granian behind it"}


@pytest.mark.long
def test_granian_answers_a_file_without_python(stack: StackUnderTest, finding: Finding) -> None:
    container = run_detached(
        f"{IMAGES}-app",
        *("granian", "--interface", "asgi", "--host", "0.0.0.0", "--workers", "1"),
        *("--static-path-mount", "/srv/apps/static", "apps.asgi.bare:app"),
        labels={f"{LABEL}.project": stack.compose.project},
    )
    try:
        address = address_in(container, "bridge")
        assert wait_until(lambda: is_open(address, 8000), 20), stack.compose.logs(container)
        connection = http.client.HTTPConnection(address, 8000, timeout=10)
        assert get_body(connection, "/static/hello.txt").startswith(b"A static file")
        connection.close()
        own, python = [], []
        for _ in range(ROUNDS):
            own.append(measure_cpu([container], address, 8000, "/static/hello.txt"))
            python.append(measure_cpu([container], address, 8000, "/"))
    finally:
        remove(container)
    finding["granian"] = {"own": own, "with": python, "what": "the application in it"}


def median_and_range(values: list[float]) -> str:
    """Median and range, in whole µs."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def conclude(finding: Finding) -> Conclusion:
    """Holds if the Go program answered and no other process was in its container."""
    no_other_process = finding["caddy"]["processes"] == ["caddy"]
    ratio = {name: statistics.median(row["with"]) / statistics.median(row["own"]) for name, row in finding.items()}
    rows = [
        [PROGRAM[name], median_and_range(row["own"]), median_and_range(row["with"]), row["what"], f"{ratio[name]:.1f}"]
        for name, row in finding.items()
    ]
    evidence = (
        "A container with the Go program Caddy and no other process answers by itself, at "
        f"{statistics.median(finding['caddy']['own']):.0f} µs of CPU a request; with a Python application server "
        f"behind it such an answer costs {ratio['caddy']:.1f} times as much."
    )
    table = Table(
        "The baseline: no application server",
        ["program", "own answer, CPU µs a request", "with Python, CPU µs a request", "which is", "ratio"],
        rows,
        f"{ROUNDS} interleaved rounds of {REQUESTS} requests on one kept connection: median and range. "
        "HTTP/1.1 without TLS, stock configurations, all containers' CPU together. Ratios on this machine, no ranking.",
    )
    return Conclusion("holds" if no_other_process else "never was", evidence, (table,))
