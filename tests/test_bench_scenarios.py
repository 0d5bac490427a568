"""Every scenario says what it asks and how it is measured, and is really answered, byte by byte."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from apps import serve
from loadtests.run import plan
from loadtests.run.contract_check import Fit
from loadtests.run.testbed import Testbed
from loadtests.scenarios import scenarios
from stack import ROOT

EVERY = [(name, variant) for name, one in scenarios().items() for variant in one.variants]


@pytest.fixture(scope="module")
def stand() -> Iterator[Testbed]:
    """Granian behind NGINX, and the generator."""
    one = Testbed(["nginx"])
    try:
        one.start()
        one.serve("granian", "asgi", "bare", 1, 8)
        Fit(one).wait("nginx")
        yield one
    finally:
        one.stop()


def ask(stand: Testbed, name: str, variant: str, way: str, mode: str, **other: Any) -> dict[str, Any]:
    """A short window of a scenario."""
    user = scenarios()[name].user(variant)
    wanted: dict[str, Any] = {"seconds": 0.5, "rate": user["offered"], "http": "1.1", "tool": user["tool"]} | other
    return stand.load(scenario=name, variant=variant, mode=mode, url=stand.url(way), clients=user["clients"], **wanted)


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_asks_a_question_and_says_what_its_users_do(name: str) -> None:
    one = scenarios()[name]
    assert one.question.endswith("?") and one.users
    assert all(user["doc"].endswith(".") for user in one.users.values())
    assert all({*user["modes"]} <= {*plan.MODES} for user in one.users.values())


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_can_be_measured_as_it_says(name: str) -> None:
    assert scenarios()[name].plan.keys() <= plan.VARIABLES
    wanted = plan.read({"SCENARIOS": name}, 1)
    cells = [cell for block in wanted.blocks for cell in block.cells]
    assert {cell.variant for cell in cells} == {*scenarios()[name].variants}
    assert {cell.scenario for cell in cells} == {name}


def test_frameworks_means_every_application() -> None:
    wanted = plan.read({"SCENARIOS": "frameworks"}, 1)
    assert {block.app for block in wanted.blocks} == {app for one in serve.INTERFACES for app in serve.apps(one)}


def test_the_static_file_is_the_one_that_is_asked_for() -> None:
    file = (ROOT / "apps/static/hello.txt").read_text()
    assert repr(file)[1:-1] in (ROOT / "loadtests/scenarios/static.py").read_text()


@pytest.mark.parametrize(("name", "variant"), EVERY)
def test_every_answer_is_right(stand: Testbed, name: str, variant: str) -> None:
    """Of an answer that is not the one that the scenario expects, the error says so: here is none."""
    for mode in scenarios()[name].user(variant)["modes"]:
        way = "nginx" if mode == "rate" or name == "static" else "direct"
        found = ask(stand, name, variant, way, mode)
        assert found.get("errors") == {} and found["requests"] > 0, (way, mode, found)
        assert found["generator"] > 0 and 0 < found["latency"]["p50"] <= found["latency"]["p99"], (way, mode, found)


@pytest.mark.parametrize("name", ["connections", "events", "sockets"])
def test_every_answer_is_right_over_tls(stand: Testbed, name: str) -> None:
    found = ask(stand, name, scenarios()[name].variants[0], "nginx", "ceiling")
    assert found.get("errors") == {} and found["requests"] > 0, found


@pytest.mark.parametrize("version", ["2", "3"])
def test_the_edge_is_asked_in_each_protocol(stand: Testbed, version: str) -> None:
    found = ask(stand, "protocols", "", "nginx", "ceiling", http=version)
    assert found.get("errors") == {} and found["requests"] > 0, found


WRONG = """
import json, sys
from loadtests.generator import agent
user = agent.user_of({"scenario": "hello", "variant": "", "url": "https://nginx:8443"})
setattr(user, *json.loads(sys.argv[1]))
agent.first = lambda user: 148  # a wrong answer ends the window before it begins: here it must be found in it
user.reply = user.reply.encode() if isinstance(user.reply, str) else user.reply
agent.user_of = lambda wanted: user
for tool, http in ("wrk", "1.1"), ("wrk", "2"), ("wrk", "3"), ("locust", "1.1"):
    try:
        found = agent.ceiling({"tool": tool, "http": http, "clients": 4, "seconds": 0.4, "url": "https://nginx:8443"})
    except RuntimeError as error:
        found = {"requests": 0, "errors": {str(error): 1}}
    print(json.dumps([found["requests"], found["errors"]]))
"""


@pytest.mark.parametrize("wrong", [["path", "/status/500"], ["reply", "Hello, w0rld!?\n"]], ids=["status", "body"])
def test_a_wrong_answer_is_an_error_whatever_the_tool(stand: Testbed, wrong: list[str]) -> None:
    command = ["docker", "exec", stand.container("load"), "python3", "-c", WRONG, json.dumps(wrong)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 4
    for line in said:
        _, errors = json.loads(line)
        assert errors, said
