"""Every scenario says what it asks and how it is measured, and is really answered, byte by byte."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apps.runtime import serve
from loadtests.generator.orders import Observation, Order
from loadtests.run.contract_check import ContractChecks
from loadtests.run.testbed import GENERATOR, Testbed
from loadtests.run.variables import MODES, VARIABLES, read_plan
from loadtests.scenarios import scenarios
from stack import ROOT
from tests.support.engine import exec_in

VARIANTS = [(name, variant) for name, scenario in scenarios().items() for variant in scenario.variants]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """Granian behind NGINX, and the generators."""
    with Testbed(["nginx"]).running() as testbed:
        testbed.serve("granian", "asgi", "bare", 1, 8)
        ContractChecks(testbed).wait_for_route("nginx")
        yield testbed


def observe(testbed: Testbed, name: str, variant: str, route: str, mode: str, http: str = "1.1") -> Observation:
    """A short window of a scenario."""
    user = scenarios()[name].user(variant)
    order = Order(
        name,
        variant,
        testbed.url(route),
        mode,
        user["clients"],
        0.5,
        rate=user["offered"],
        tool=user["tool"],
        http=http,
    )
    return testbed.measure(order)[0]


def check(observation: Observation, *place: Any) -> None:
    """Asserts that every answer was right, and that there was one."""
    assert not observation.failed and observation.errors == {} and observation.requests > 0, (*place, observation)


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_asks_a_question_and_says_what_its_users_do(name: str) -> None:
    scenario = scenarios()[name]
    assert scenario.question.endswith("?") and scenario.users
    assert all(user["doc"].endswith(".") for user in scenario.users.values())
    assert all({*user["modes"]} <= {*MODES} for user in scenario.users.values())


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_can_be_measured_as_it_says(name: str) -> None:
    assert scenarios()[name].plan.keys() <= VARIABLES
    plan = read_plan({"SCENARIOS": name}, 1)
    cells = [cell for block in plan.blocks for cell in block.cells]
    assert {cell.variant for cell in cells} == {*scenarios()[name].variants}
    assert {cell.scenario for cell in cells} == {name}


def test_frameworks_means_every_application() -> None:
    plan = read_plan({"SCENARIOS": "frameworks"}, 1)
    apps = {app for interface in serve.INTERFACES for app in serve.apps(interface)}
    assert {block.app for block in plan.blocks} == apps


def test_the_static_file_is_the_one_that_is_asked_for() -> None:
    file = (ROOT / "apps/static/hello.txt").read_text()
    assert repr(file)[1:-1] in (ROOT / "loadtests/scenarios/static.py").read_text()


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_answer_is_right(testbed: Testbed, name: str, variant: str) -> None:
    """A user counts every answer that the scenario does not expect as an error: here is none."""
    for mode in scenarios()[name].user(variant)["modes"]:
        route = "nginx" if mode == "rate" or name == "static" else "direct"
        observation = observe(testbed, name, variant, route, mode)
        check(observation, route, mode)
        assert observation.cpu > 0, (route, mode, observation)
        assert 0 < observation.latency["p50"] <= observation.latency["p99"], (route, mode, observation)


@pytest.mark.parametrize("name", ["connections", "events", "sockets"])
def test_every_answer_is_right_over_tls(testbed: Testbed, name: str) -> None:
    check(observe(testbed, name, scenarios()[name].variants[0], "nginx", "ceiling"))


@pytest.mark.parametrize("version", ["2", "3"])
def test_the_edge_is_asked_in_each_protocol(testbed: Testbed, version: str) -> None:
    check(observe(testbed, "protocols", "", "nginx", "ceiling", http=version))


WRONG = """
import json, sys
from loadtests.generator import agent, ceiling_tools
from loadtests.generator.orders import Observation, Order
def order(tool, http):
    return Order("hello", "", "https://nginx:8443", "ceiling", 4, 0.4, tool=tool, http=http)
user = agent.load_user(order("wrk", "1.1"))
setattr(user, *json.loads(sys.argv[1]))
user.reply = user.reply.encode() if isinstance(user.reply, str) else user.reply
ceiling_tools.check_answer = lambda user: 148  # a wrong answer must be noticed in the window, not before it
agent.load_user = lambda order: user
for tool, http in ("wrk", "1.1"), ("wrk", "2"), ("wrk", "3"), ("locust", "1.1"):
    try:
        observation = agent.measure(order(tool, http))
    except RuntimeError as error:
        observation = Observation(errors={str(error): 1})
    print(json.dumps([observation.requests, observation.errors]))
"""


@pytest.mark.parametrize("wrong", [["path", "/status/500"], ["reply", "Hello, w0rld!?\n"]], ids=["status", "body"])
def test_a_wrong_answer_is_an_error_whatever_the_tool(testbed: Testbed, wrong: list[str]) -> None:
    output = exec_in(testbed.container(GENERATOR), "python3", "-c", WRONG, json.dumps(wrong)).splitlines()
    assert len(output) == 4
    for line in output:
        _, errors = json.loads(line)
        assert errors, output
