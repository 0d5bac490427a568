"""C24: does a request pass a chain of middlewares, and may one of them interrupt it?"""

from collections.abc import Iterator
from typing import Any

import pytest

from apps import contract
from apps.examples import aref_chain, ref_chain
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.server_starter import EXAMPLES as EXAMPLE_FILES
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.single_server import SingleServer
from tests.test_apps import asgi_sender, wsgi_sender

CLAIM = Claim(
    "C24",
    "The request passes a chain of responsibility; a middleware may interrupt it; everything enters and leaves by one "
    "point",
)
WHOLE = ["first in", "second in", "third in", "app", "third out", "second out", "first out"]
CUT = ["first in", "second refuses", "first out"]
EXAMPLES: dict[str, tuple[Any, Any]] = {"asgi": (asgi_sender, aref_chain.app), "wsgi": (wsgi_sender, ref_chain.app)}
CREDENTIALS = {"authorization": "Basic YTpi"}


def read_steps(log: str) -> list[str]:
    """The steps that the chain has logged."""
    return [line.partition("chain: ")[2] for line in log.splitlines() if line.startswith("chain: ")]


def read_finished_steps(single: SingleServer) -> list[str]:
    """The steps so far, once every request that entered the chain has left it: the log comes later than the answer.

    The first request is the question whether the server is ready.
    """

    def is_finished() -> bool:
        steps = read_steps(single.logs())
        return steps.count("first in") == steps.count("first out") > 0

    assert wait_until(is_finished), single.logs()[-2000:]
    return read_steps(single.logs())


@pytest.mark.parametrize("interface", EXAMPLES)
def test_in_process(interface: str, capsys: pytest.CaptureFixture[str], finding: Finding) -> None:
    """A request passes the chain and comes back; or the second middleware refuses it and calls no application."""
    sender, app = EXAMPLES[interface]
    send = sender(app)
    runs = finding.setdefault("in process", {}).setdefault(interface, {})
    for case, headers in (("whole", CREDENTIALS), ("cut", {})):
        answer = send(contract.Check(case, "GET", "/", send_headers=headers))
        runs[case] = [answer.status, read_steps(capsys.readouterr().out)]


@pytest.fixture(scope="module", params=[("uvicorn", "asgi"), ("gunicorn", "wsgi")], ids="-".join)
def chained(request: pytest.FixtureRequest, servers: SingleServers) -> Iterator[SingleServer]:
    """A server that runs the chain, of each interface in turn."""
    server, interface = request.param
    name = "aref_chain" if interface == "asgi" else "ref_chain"
    with servers.serving(server, interface, EXAMPLE_FILES / f"{name}.py") as single:
        yield single


def test_through_a_server(chained: SingleServer, finding: Finding) -> None:
    runs = finding.setdefault(chained.name, {})
    for case, headers, expected in (("whole", CREDENTIALS, WHOLE), ("cut", {}, CUT)):
        before = len(read_finished_steps(chained))
        answer = chained.request("GET", "/", headers=headers)
        complete = before + len(expected)
        wait_until(lambda complete=complete: len(read_steps(chained.logs())) >= complete)
        runs[case] = [answer.status, read_steps(chained.logs())[before:]]


def test_everything_enters_and_leaves_by_the_first(chained: SingleServer, finding: Finding) -> None:
    """Every request, refused or not, passes the first middleware twice."""
    requests = [("GET", "/"), ("POST", "/x"), ("DELETE", "/y/z"), ("GET", "/none")]
    before = read_finished_steps(chained)
    entered, left = before.count("first in"), before.count("first out")
    for number, (method, path) in enumerate(requests):
        chained.request(method, path, headers=CREDENTIALS if number % 2 else {})
    wait_until(lambda: read_steps(chained.logs()).count("first out") >= left + len(requests))
    steps = read_steps(chained.logs())
    finding.setdefault("passed", {})[chained.interface] = [
        steps.count("first in") - entered,
        steps.count("first out") - left,
        len(requests),
    ]


def conclude(finding: Finding) -> Conclusion:
    """Holds if order and interruption are as expected on both interfaces, in process and on a server."""
    runs = {name: finding["in process"][name] for name in EXAMPLES} | {
        name: run for name, run in finding.items() if name not in ("in process", "passed")
    }
    good = [name for name, run in runs.items() if run == {"whole": [200, WHOLE], "cut": [401, CUT]}]
    one_point = all(len(set(counts)) == 1 for counts in finding["passed"].values())
    evidence = (
        f"A chain of three in {len(runs)} places ({', '.join(runs)}; without a server's name: in process): in "
        f"{len(good)} the request goes {' → '.join(WHOLE)}, and without credentials {' → '.join(CUT)}, with 401, the "
        f"application never called. Of {next(iter(finding['passed'].values()))[2]} requests of every kind "
        f"{finding['passed']['asgi'][0]} (ASGI) and {finding['passed']['wsgi'][0]} (WSGI) pass the first of the chain."
    )
    return Conclusion("holds" if len(good) == len(runs) and one_point else "never was", evidence)
