"""A swap of the app: whom the proxies ask meanwhile, how many containers it keeps, and what an interruption leaves."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from stack import Problem, readiness
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.checkout import Checkout
from tests.support.engine import address_in, client, inspect, remove, run_detached
from tests.support.load import Load
from tests.support.stack import DEFAULT_PROXIES, IMAGES, PROXIES, StackUnderTest

pytestmark = pytest.mark.full
INTERRUPTIONS = [(signal.SIGINT, "hidden"), (signal.SIGTERM, "published"), (signal.SIGHUP, "hidden")]


def test_nobody_meets_a_container_that_is_not_ready(stack: StackUnderTest) -> None:
    """The new server answers, but its health check fails: as where an application fails at its import, or starts."""
    stack.serve("uvicorn", "asgi")
    before = stack.app()
    with ExitStack() as loads:
        gets = [loads.enter_context(Load(stack, proxy, "GET")) for proxy in PROXIES]
        assert wait_until(lambda: all(load.servers["uvicorn"] > 10 for load in gets))
        stack.choose_server("granian", "asgi", "bare", HEALTH_PATH="/status/503")
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(readiness, "READY_SECONDS", 5)
                with pytest.raises(Problem, match=r"was not ready within 5 s \(/status/503: 503, for https"):
                    stack.swap_app()
        finally:
            stack.choose_server("uvicorn", "asgi", "bare", HEALTH_PATH="")
    for load in gets:
        assert (set(load.answers), set(load.servers)) == ({"200"}, {"uvicorn"}), f"through {load.proxy}"
    assert stack.compose.containers("app", include_stopped=True) == [before]


def test_three_containers_are_swapped_under_load(stack: StackUnderTest) -> None:
    stack.serve("uvicorn", "asgi", WORKERS="1")
    stack.start("app", scale="app=3")
    stack.wait_for_app()
    with ExitStack() as loads:
        gets = [loads.enter_context(Load(stack, proxy, "GET")) for proxy in DEFAULT_PROXIES * 2]
        assert wait_until(lambda: all(load.servers["uvicorn"] > 20 for load in gets))
        stack.choose_server("granian", "asgi", "bare", WORKERS="1")
        stack.swap_app()
        stack.serving = None
        assert wait_until(lambda: all(load.servers["granian"] > 20 for load in gets))
    stack.start("app", scale="app=1")
    for load in gets:
        assert set(load.answers) == {"200"}, f"GET through {load.proxy}: {dict(load.answers)}"


@pytest.mark.usefixtures("any_app")
def test_another_app_on_the_same_network_gets_no_request(stack: StackUnderTest) -> None:
    """Every stack calls its app `app`, so two stacks on one network share that name."""
    network = stack.network("backend")
    labels = {f"{LABEL}.project": stack.compose.project, f"{LABEL}.service": "another"}
    alias = {network: client().api.create_endpoint_config(aliases=["app"])}
    command = ("python3", "-m", "http.server", "8000")
    another = run_detached(f"{IMAGES}-app", *command, labels=labels, network=network, networking_config=alias)
    try:
        address = address_in(another, network)
        assert wait_until(lambda: address in stack.in_app("import socket; print(socket.gethostbyname_ex('app')[2])"))
        time.sleep(3)  # longer than a proxy waits before it asks the DNS again
        for proxy in PROXIES:
            answers = {stack.get(proxy, "/process").status_code for _ in range(10)}
            assert answers == {200}, f"{proxy} asked the other stack's app: {answers}"
    finally:
        remove(another)


def list_published(checkout: Checkout) -> list[str]:
    """The app's containers to which its name leads."""
    network = f"{checkout.project}_backend"
    endpoints = {each: inspect(each)["NetworkSettings"]["Networks"].get(network) for each in checkout.containers("app")}
    return [each for each, endpoint in endpoints.items() if endpoint and "app" in (endpoint["Aliases"] or [])]


def begin_swap(checkout: Checkout, moment: str = "hidden") -> subprocess.Popen[str]:
    """Starts a swap, and returns at a moment when both containers run: the new one is hidden, or published."""
    assert checkout.make("up", "PROXY=nginx", "SERVER=granian").returncode == 0
    process = checkout.start_make("up", "PROXY=nginx", "SERVER=uvicorn")

    def has_come() -> bool:
        running = checkout.containers("app") if moment == "hidden" else list_published(checkout)
        return len(running) == 2

    assert wait_until(has_come, 60, 0.02), f"no new container was {moment}"
    return process


@pytest.mark.parametrize(("number", "moment"), INTERRUPTIONS)
def test_an_interruption_leaves_the_old_app_or_the_new_one(
    checkout: Checkout, number: signal.Signals, moment: str
) -> None:
    process = begin_swap(checkout, moment)
    new, old = checkout.containers("app")
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=90)
    assert "up: interrupted" in output and "Traceback" not in output
    expected = [old] if moment == "hidden" else [new]
    assert checkout.containers("app") == expected == list_published(checkout), output


def test_a_swap_that_was_killed_is_finished_by_the_next_one(checkout: Checkout) -> None:
    process = begin_swap(checkout)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=90)
    done = checkout.make("up", "PROXY=nginx", "SERVER=uvicorn")
    assert done.returncode == 0, done.stderr
    assert len(checkout.containers("app")) == 1, "both versions counted as replicas"
    assert list_published(checkout) == checkout.containers("app")
