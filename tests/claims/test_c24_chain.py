"""C24: does a request pass a chain of middlewares, and may one of them interrupt it?"""

from typing import Any

import pytest

from apps import contract
from apps.examples import aref_chain, ref_chain
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.server_starter import EXAMPLES as EXAMPLE_FILES
from tests.claims.support.server_starter import SingleServers
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


@pytest.mark.parametrize("interface", EXAMPLES)
def test_in_process(interface: str, capsys: pytest.CaptureFixture[str], finding: Finding) -> None:
    """A request passes the chain and comes back; or the second middleware refuses it and calls no application."""
    sender, app = EXAMPLES[interface]
    send = sender(app)
    runs = finding.setdefault("in process", {}).setdefault(interface, {})
    for case, headers in (("whole", CREDENTIALS), ("cut", {})):
        answer = send(contract.Check(case, "GET", "/", send_headers=headers))
        runs[case] = [answer.status, read_steps(capsys.readouterr().out)]


@pytest.mark.parametrize(("server", "interface"), [("uvicorn", "asgi"), ("gunicorn", "wsgi")])
def test_through_a_server(servers: SingleServers, server: str, interface: str, finding: Finding) -> None:
    name = "aref_chain" if interface == "asgi" else "ref_chain"
    with servers.serving(server, interface, EXAMPLE_FILES / f"{name}.py") as single:
        runs = finding.setdefault(f"{server} {interface}", {})
        for case, headers, expected in (("whole", CREDENTIALS, WHOLE), ("cut", {}, CUT)):
            before = len(read_steps(single.logs()))
            answer = single.request("GET", "/", headers=headers)
            wait_until(
                lambda before=before, expected=expected: len(read_steps(single.logs())) >= before + len(expected)
            )
            runs[case] = [answer.status, read_steps(single.logs())[before:]]


@pytest.mark.parametrize(("server", "interface"), [("uvicorn", "asgi"), ("gunicorn", "wsgi")])
def test_everything_enters_and_leaves_by_the_first(
    servers: SingleServers, server: str, interface: str, finding: Finding
) -> None:
    """Every request, refused or not, passes the first middleware twice."""
    name = "aref_chain" if interface == "asgi" else "ref_chain"
    requests = [("GET", "/"), ("POST", "/x"), ("DELETE", "/y/z"), ("GET", "/none")]
    with servers.serving(server, interface, EXAMPLE_FILES / f"{name}.py") as single:
        before = read_steps(single.logs()).count("first out")
        for number, (method, path) in enumerate(requests):
            single.request(method, path, headers=CREDENTIALS if number % 2 else {})
        wait_until(lambda: read_steps(single.logs()).count("first out") >= before + len(requests))
        logged = read_steps(single.logs())
    finding.setdefault("passed", {})[interface] = [
        logged.count("first in") - before,
        logged.count("first out") - before,
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
