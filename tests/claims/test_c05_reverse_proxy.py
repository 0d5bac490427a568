"""C05: the web server is a reverse proxy, with a tutorial's configuration and with this stack's."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.compose import LABEL
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.stock_proxies import REVERSE_PROXY, run_stock_proxy
from tests.support.engine import client, read_logs, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest

CLAIM = Claim(
    "C05",
    "The web server is a reverse proxy",
    also=(
        "test_every_application_keeps_the_contract",
        "test_the_server_is_swapped_under_load",
        "test_an_idle_connection_outlives_the_proxies_patience",
    ),
)
PROXIES = tuple(REVERSE_PROXY)
MEASURED = ("forged headers", "POST after 21 s of silence", "GET after the app moved")
FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "gopher",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6",
}
# A server that closes a connection, idle for 20 s, in the moment that a request arrives on it. Any server does this now
# and then; this server does it always, and logs it.
CLOSES_AFTER_20_S = """
import socketserver, time
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        last = None
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\\r\\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            now = time.monotonic()
            if last and now - last > 20:
                print("closed instead of answering", line.decode().strip(), flush=True)
                return
            self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n")
            last = now
socketserver.ThreadingTCPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture(params=PROXIES)
def kind(request: pytest.FixtureRequest) -> str:
    """NGINX and Caddy: each runs twice, with the stock configuration and with this stack's."""
    return request.param


@pytest.fixture
def app(stack: StackUnderTest) -> None:
    """Any server will do, because the proxy is what differs."""
    stack.serve("granian", "asgi")


def send_to_stock(address: str, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of one request to a stock proxy, on a connection of its own."""
    connection = http.client.HTTPConnection(address, 8080, timeout=15)
    try:
        connection.request(method, path, b"x" if method == "POST" else None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.usefixtures("app")
def test_a_stock_proxy_passes_on_what_a_client_claims_to_be(
    stack: StackUnderTest, kind: str, finding: Finding, tmp_path: Path
) -> None:
    def find_believed(headers: dict[str, str]) -> list[str]:
        return [name for name, value in FORGED.items() if value in headers.get(name.lower(), "")]

    with run_stock_proxy(stack, kind, REVERSE_PROXY[kind], tmp_path) as stock:
        status, body = send_to_stock(stock.address, "GET", "/request", FORGED)
        assert status == 200
        request = json.loads(body)
    ours = stack.get(kind, "/request", headers=FORGED).json()
    assert ours["scheme"] == "https"
    finding.setdefault(MEASURED[0], {})[kind] = {
        "stock": find_believed(request["headers"]),
        "ours": find_believed(ours["headers"]),
    }


@pytest.fixture
def closing(stack: StackUnderTest) -> Iterator[str]:
    """In the app's place, a server that closes idle connections at the worst moment: its container."""
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    project = stack.compose.project
    network = f"{project}_backend"
    container = run_detached(
        f"{IMAGES}-app",
        *("python3", "-c", CLOSES_AFTER_20_S),
        labels={f"{LABEL}.project": project},
        network=network,
        networking_config={network: client().api.create_endpoint_config(aliases=["app", stack.app_name()])},
    )
    try:
        yield container
    finally:
        remove(container)


@pytest.mark.long
def test_a_stock_proxy_loses_a_post_to_an_idle_connection(
    stack: StackUnderTest, closing: str, finding: Finding, tmp_path: Path
) -> None:
    statuses: dict[str, dict[str, int]] = {kind: {} for kind in PROXIES}

    def post_to_own(kind: str) -> int:
        return stack.request(kind, "POST", "/x", data=b"x").status_code or 0

    with (
        run_stock_proxy(stack, "nginx", REVERSE_PROXY["nginx"], tmp_path) as nginx,
        run_stock_proxy(stack, "caddy", REVERSE_PROXY["caddy"], tmp_path) as caddy,
    ):
        addresses = {"nginx": nginx.address, "caddy": caddy.address}
        for kind in PROXIES:
            assert send_to_stock(addresses[kind], "POST", "/x")[0] == 200
            assert wait_until(lambda kind=kind: post_to_own(kind) == 200, 20)
        time.sleep(21)  # not for readiness: the upstream connections must be idle for so long
        for kind in PROXIES:
            statuses[kind]["ours"] = post_to_own(kind)
        assert read_logs(closing) == "", "this stack used a connection that was about to close"
        for kind in PROXIES:
            statuses[kind]["stock"] = send_to_stock(addresses[kind], "POST", "/x")[0]
    printed = read_logs(closing).splitlines()
    lost = [kind for kind in PROXIES if statuses[kind]["stock"] != 200]
    assert len(printed) >= len(lost), "a POST was lost for another reason"
    finding[MEASURED[1]] = statuses


@pytest.mark.long
@pytest.mark.usefixtures("app")
def test_a_stock_nginx_asks_for_a_container_that_is_gone(
    stack: StackUnderTest, finding: Finding, tmp_path: Path
) -> None:
    statuses: dict[str, dict[str, int | str]] = {kind: {} for kind in PROXIES}
    with (
        run_stock_proxy(stack, "nginx", REVERSE_PROXY["nginx"], tmp_path) as nginx,
        run_stock_proxy(stack, "caddy", REVERSE_PROXY["caddy"], tmp_path) as caddy,
    ):
        addresses = {"nginx": nginx.address, "caddy": caddy.address}
        assert {send_to_stock(address, "GET", "/live")[0] for address in addresses.values()} == {200}
        before = stack.address("app", "backend")
        stack.choose_server("uvicorn", "asgi", "bare")
        stack.swap_app()  # the new container starts beside the old one: it has another address
        stack.serving = ("uvicorn", "asgi", "bare")
        assert stack.address("app", "backend") != before, "the fault did not happen"
        time.sleep(5)  # longer than any proxy of this stack keeps an answer of the DNS
        threads = []

        def ask(kind: str) -> None:
            try:
                statuses[kind]["stock"] = send_to_stock(addresses[kind], "GET", "/live")[0]
            except TimeoutError:
                statuses[kind]["stock"] = "none in 15 s"

        for kind in PROXIES:
            statuses[kind]["ours"] = stack.get(kind, "/live").status_code or 0
            threads.append(threading.Thread(target=ask, args=(kind,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    finding[MEASURED[2]] = statuses


def conclude(finding: Finding) -> Conclusion:
    """Holds; with a limit if the stock configuration fails where this stack's does not."""
    forged, post, moved = (finding[key] for key in MEASURED)
    own_is_right = all(
        not forged[kind]["ours"] and post[kind]["ours"] == 200 and moved[kind]["ours"] == 200 for kind in PROXIES
    )
    believing = [kind for kind in PROXIES if forged[kind]["stock"]]
    losing = [kind for kind in PROXIES if post[kind]["stock"] != 200]
    stale = [kind for kind in PROXIES if moved[kind]["stock"] != 200]
    stock_fails = bool(believing or losing or stale)
    verdict: Verdict = "never was" if not own_is_right else "holds with a limit" if stock_fails else "holds"
    evidence = (
        f"With a tutorial's configuration: forged client headers pass through {listed(believing)}, a POST on an idle "
        f"connection is lost by {listed(losing)}, a container that moved is lost by {listed(stale)}. "
        f"With this stack's: {'none of these' if own_is_right else 'see the table'}."
    )
    return Conclusion(verdict, evidence, (make_table(finding),))


def listed(names: list[str]) -> str:
    """The names in a sentence."""
    return ", ".join(names) if names else "none"


def make_table(finding: Finding) -> Table:
    """What the client sees, by proxy and configuration."""
    forged, post, moved = (finding[key] for key in MEASURED)
    cells = [(kind, configuration) for kind in PROXIES for configuration in ("stock", "ours")]
    rows = [
        ["a forged header reaches the app", *(listed(forged[kind][configuration]) for kind, configuration in cells)],
        ["POST on an idle connection", *(str(post[kind][configuration]) for kind, configuration in cells)],
        ["GET after the app moved", *(str(moved[kind][configuration]) for kind, configuration in cells)],
    ]
    columns = ["", *(f"{kind}, {configuration}" for kind in PROXIES for configuration in ("stock", "this stack"))]
    return Table("A tutorial's reverse proxy, and this stack's", columns, rows, "Status codes the client sees.")
