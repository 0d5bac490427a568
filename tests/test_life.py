"""What the stack does while its parts start, stop and are swapped."""

import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from apps.runtime import serve
from stack import proxies
from stack.compose import LABEL
from stack.one_request import request_status
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, client, exec_in, inspect, remove, restart, run_detached, run_once
from tests.support.load import Load
from tests.support.stack import DEFAULT_PROXIES, IMAGES, PROXIES, StackUnderTest

pytestmark = pytest.mark.full
# What a client meets where the old server closes on its request, if other than 502. Apache and HAProxy answer 502 to
# the first request of a client's connection. A connection that had an answer before is closed without an answer, so
# that the client asks again.
CLOSES = {"apache": {"502", "ConnectionError"}, "haproxy": {"502", "ConnectionError"}}
LOSES_GETS = {"apache", "traefik"}  # they send no request again on a new connection, not even a GET
# What a client meets where the app has no address, if other than 502 or 503.
AWAY = {"apache": "500"}
# Seconds for the requests in flight at a swap. gunicorn takes all of them, because the proxies' connections stay open.
GRACE = "5"


def started_at(stack: StackUnderTest, service: str) -> tuple[str, str]:
    """A service's container, and when it was started."""
    container = stack.container(service)
    return container, inspect(container)["State"]["StartedAt"]


def closed_by(stack: StackUnderTest, proxy: str, address: str, since: float) -> list[str]:
    """The POSTs since then that a proxy had sent to the app at `address` when it closed, from the proxy's log."""
    lost = [line for line in stack.log_lines(proxy, since) if line.get("status") == 502]
    assert all("dial" not in line.get("error", "") for line in lost)
    return [line["upstream"] for line in lost if line["upstream"].endswith(f"{address}:8000")]


@pytest.mark.parametrize("old", [server for server, interface in serve.pairs() if interface == "asgi"])
def test_the_server_is_swapped_under_load(stack: StackUnderTest, old: str) -> None:
    new = "granian" if old != "granian" else "uvicorn"
    stack.serve(old, "asgi", GRACE=GRACE)
    running = {proxy: started_at(stack, proxy) for proxy in DEFAULT_PROXIES}
    address, since = stack.address("app", "backend"), time.time()
    with ExitStack() as loads:
        gets = [loads.enter_context(Load(stack, proxy, "GET")) for proxy in DEFAULT_PROXIES]
        posts = [loads.enter_context(Load(stack, proxy, "POST")) for proxy in DEFAULT_PROXIES * 3]
        assert wait_until(lambda: all(load.servers[old] > 20 for load in gets))
        stack.choose_server(new, "asgi", "bare")
        stack.swap_app()
        stack.serving = (new, "asgi", "bare")
        assert wait_until(lambda: all(load.servers[new] > 20 for load in gets)), "a proxy did not find the new server"
        before = [load.servers[old] for load in gets]
        time.sleep(1)
        assert [load.servers[old] for load in gets] == before, "the old server still answers"
    for load in gets:
        bad = [line for line in stack.log_lines(load.proxy, since) if line.get("status", 200) >= 500]
        assert set(load.answers) == {"200"}, f"GET through {load.proxy}: {dict(load.answers)}; its log: {bad}"
    for proxy in DEFAULT_PROXIES:
        answers = sum((load.answers for load in posts if load.proxy == proxy), Counter())
        lost = answers.total() - answers["200"]
        assert answers["200"] > 200, "there was no load"
        # A POST can be lost only after it was sent to the old server, which closed without an answer. No proxy may send
        # such a request again. The proxies keep what they have not sent.
        assert set(answers) <= {"200", "502"}, f"POST through {proxy}: {dict(answers)}"
        assert lost < answers["200"] / 50, f"POST through {proxy}: {dict(answers)}"
        # The log comes up to a second late.
        logged = wait_until(lambda proxy=proxy, lost=lost: len(closed_by(stack, proxy, address, since)) >= lost)
        assert logged and len(closed_by(stack, proxy, address, since)) == lost, (
            "lost by the proxy, not by the old server"
        )
    assert running == {proxy: started_at(stack, proxy) for proxy in DEFAULT_PROXIES}, "a proxy was restarted"


def test_the_server_is_swapped_behind_every_other_proxy(stack: StackUnderTest) -> None:
    others = [proxy for proxy in PROXIES if proxy not in DEFAULT_PROXIES]
    stack.serve("uvicorn", "asgi")
    with ExitStack() as loads:
        gets = [loads.enter_context(Load(stack, proxy, "GET")) for proxy in others]
        posts = [loads.enter_context(Load(stack, proxy, "POST")) for proxy in others * 3]
        assert wait_until(lambda: all(load.servers["uvicorn"] > 20 for load in gets))
        stack.choose_server("granian", "asgi", "bare")
        stack.swap_app()
        stack.serving = ("granian", "asgi", "bare")
        assert wait_until(lambda: all(load.servers["granian"] > 20 for load in gets)), (
            "a proxy did not find the new server"
        )
    for load in (load for load in gets if load.proxy not in LOSES_GETS):
        assert set(load.answers) == {"200"}, f"GET through {load.proxy}: {dict(load.answers)}"
    for proxy in others:
        losing = [load for load in (*posts, *gets) if load.proxy == proxy and (load in posts or proxy in LOSES_GETS)]
        answers = sum((load.answers for load in losing), Counter())
        lost = answers.total() - answers["200"]
        assert answers["200"] > 200, "there was no load"
        assert set(answers) <= {"200"} | CLOSES.get(proxy, {"502"}), f"through {proxy}: {dict(answers)}"
        assert lost < answers["200"] / 50, f"through {proxy}: {dict(answers)}"


@pytest.mark.parametrize("default", DEFAULT_PROXIES)
def test_a_container_that_refuses_is_passed_over(stack: StackUnderTest, default: str) -> None:
    """As while an old container drains: its name still leads to it, and it accepts no connection."""
    stack.serve("granian", "asgi")
    network = stack.network("backend")
    # The image carries the label of the service that it was built for.
    labels = {f"{LABEL}.project": stack.compose.project, f"{LABEL}.service": "refusing"}
    alias = {network: client().api.create_endpoint_config(aliases=[stack.app_name()])}
    refusing = run_detached(f"{IMAGES}-app", "sleep", "120", labels=labels, network=network, networking_config=alias)
    try:
        address = address_in(refusing, network)
        assert stack.in_app(f"import socket; print(socket.socket().connect_ex(('{address}', 8000)))") == "111"
        assert address in stack.in_app(f"import socket; print(socket.gethostbyname_ex('{stack.app_name()}')[2])")
        time.sleep(3)  # longer than a proxy waits before it asks the DNS again
        with ExitStack() as busy:  # the app that answers is the busier of the two
            for _ in range(4):
                busy.enter_context(stack.stream(default, "/stream/100?pause=100"))
            answers = [
                stack.request(default, method, "/echo" if data else "/", data=data).status_code
                for method, data in (("GET", None), ("POST", b"x")) * 20
            ]
        assert Counter(answers) == {200: 40}
    finally:
        remove(refusing)


def test_the_proxies_start_without_the_app_and_find_it(stack: StackUnderTest, proxy: str) -> None:
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    container = stack.container(proxy)
    restart(container)
    away = {AWAY[proxy]} if proxy in AWAY else {"502", "503"}
    assert wait_until(lambda: status(stack, proxy) in away, 20), status(stack, proxy)
    if (proxy, "static files") not in proxies.LACKS:
        assert stack.get(proxy, "/static/hello.txt").status_code == 200  # the proxy does what needs no app
    stack.start("app")
    assert wait_until(lambda: status(stack, proxy) == "200", 20), status(stack, proxy)
    assert exec_in(container, "ls", "/certs/ca.pem")


def status(stack: StackUnderTest, proxy: str) -> str:
    return request_status("127.0.0.1", stack.https_port(proxy), SITE, "/ready", stack.ca.read_text())


def replicas(stack: StackUnderTest, proxy: str) -> set[str]:
    """The start times of the apps that answer while other requests are in flight, each of which keeps one busy."""
    seen = set()
    with ExitStack() as under_way:
        for _ in range(12):
            # Two requests, because two apps in strict turn would give every stream to the same app.
            seen |= {stack.get(proxy, "/process").json()["started"] for _ in range(2)}
            under_way.enter_context(stack.stream(proxy, "/stream/50?pause=100"))
    return seen


def test_every_replica_gets_requests(stack: StackUnderTest, proxy: str) -> None:
    stack.serve("granian", "asgi", WORKERS="1")
    stack.start("app", scale="app=2")
    try:
        stack.wait_for_app()
        # The processes of all containers have the same pid, so the start time tells them apart.
        # Apache asks the first app that has an address, and the next only where the first refuses.
        assert wait_until(lambda: len(replicas(stack, proxy)) >= (1 if proxy == "apache" else 2))
    finally:
        stack.start("app", scale="app=1")
        stack.serving = None


def test_a_killed_worker_is_replaced(stack: StackUnderTest) -> None:
    stack.serve("granian", "asgi")
    before = stack.get("nginx", "/process").json()["pid"]
    stack.in_app(f"import os; os.kill({before}, 9)")

    def replaced() -> bool:
        seen = {stack.get("nginx", "/process").json().get("pid") for _ in range(5)}
        return before not in seen

    assert wait_until(replaced)
    assert inspect(stack.app())["RestartCount"] == 0, "the container was restarted, not the worker"


def test_the_certificate_is_kept_until_its_names_change(stack: StackUnderTest) -> None:
    def fingerprints(**environment: str) -> list[str]:
        stack.compose.run("up", "--no-build", "--no-deps", "certs", environment=environment)
        volumes = {f"{stack.compose.project}_certs": {"bind": "/certs", "mode": "ro"}}
        command = ("sha256sum", "/certs/ca.pem", "/certs/fullchain.pem")
        options: dict[str, Any] = {"network_mode": "none", "group_add": ["10100"], "volumes": volumes}
        return run_once(f"{IMAGES}-app", *command, **options).splitlines()

    first = fingerprints()
    assert fingerprints() == first
    other = fingerprints(DOMAIN="localhost 127.0.0.1 shop.example")
    assert other[0] == first[0], "the authority must stay, or trust in it is lost"
    assert other[1] != first[1]
    back = fingerprints()
    assert back[0] == first[0]
