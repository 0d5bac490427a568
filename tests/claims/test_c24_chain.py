"""C24: does a request pass a chain of middlewares, and may one of them interrupt it?"""

from typing import Any

import pytest

from apps import contract
from apps.examples import aref_chain, ref_chain
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, single_server
from tests.claims.single_server import SingleServers
from tests.test_apps import asgi_sender, wsgi_sender

CLAIM = Claim(
    "C24",
    "The request passes a chain of responsibility; a middleware may interrupt it; everything enters and leaves by one "
    "point",
)
WHOLE = ["first in", "second in", "third in", "app", "third out", "second out", "first out"]
CUT = ["first in", "second refuses", "first out"]
EXAMPLES: dict[str, tuple[Any, Any]] = {"asgi": (asgi_sender, aref_chain.app), "wsgi": (wsgi_sender, ref_chain.app)}
KNOWN = {"authorization": "Basic YTpi"}


def steps(log: str) -> list[str]:
    """What the chain has said."""
    return [line.partition("chain: ")[2] for line in log.splitlines() if line.startswith("chain: ")]


@pytest.mark.parametrize("interface", EXAMPLES)
def test_in_process(interface: str, capsys: pytest.CaptureFixture[str], finding: Finding) -> None:
    """Through the whole chain and back; or not past the second, and the application is never called."""
    sender, app = EXAMPLES[interface]
    send = sender(app)
    found = finding.setdefault("in process", {}).setdefault(interface, {})
    for what, headers in (("whole", KNOWN), ("cut", {})):
        answer = send(contract.Check(what, "GET", "/", send_headers=headers))
        found[what] = [answer.status, steps(capsys.readouterr().out)]


@pytest.mark.parametrize(("server", "interface"), [("uvicorn", "asgi"), ("gunicorn", "wsgi")])
def test_through_a_server(servers: SingleServers, server: str, interface: str, finding: Finding) -> None:
    name = "aref_chain" if interface == "asgi" else "ref_chain"
    with servers.serving(server, interface, single_server.EXAMPLES / f"{name}.py") as one:
        found = finding.setdefault(f"{server} {interface}", {})
        for what, headers, expected in (("whole", KNOWN, WHOLE), ("cut", {}, CUT)):
            before = len(steps(one.logs()))
            answer = one.request("GET", "/", headers=headers)
            wait_until(lambda before=before, expected=expected: len(steps(one.logs())) >= before + len(expected))
            found[what] = [answer.status, steps(one.logs())[before:]]


@pytest.mark.parametrize(("server", "interface"), [("uvicorn", "asgi"), ("gunicorn", "wsgi")])
def test_everything_enters_and_leaves_by_the_first(
    servers: SingleServers, server: str, interface: str, finding: Finding
) -> None:
    """Every request, whatever becomes of it, passes the first of the chain twice."""
    name = "aref_chain" if interface == "asgi" else "ref_chain"
    requests = [("GET", "/"), ("POST", "/x"), ("DELETE", "/y/z"), ("GET", "/none")]
    with servers.serving(server, interface, single_server.EXAMPLES / f"{name}.py") as one:
        before = steps(one.logs()).count("first out")
        for number, (method, path) in enumerate(requests):
            one.request(method, path, headers=KNOWN if number % 2 else {})
        wait_until(lambda: steps(one.logs()).count("first out") >= before + len(requests))
        said = steps(one.logs())
    finding.setdefault("passed", {})[interface] = [
        said.count("first in") - before,
        said.count("first out") - before,
        len(requests),
    ]


def conclude(found: Finding) -> Conclusion:
    """Holds if order and interruption are the same on both interfaces, in process and on a server."""
    runs = {name: found["in process"][name] for name in EXAMPLES} | {
        name: one for name, one in found.items() if name not in ("in process", "passed")
    }
    good = [name for name, one in runs.items() if one == {"whole": [200, WHOLE], "cut": [401, CUT]}]
    one_point = all(len(set(counts)) == 1 for counts in found["passed"].values())
    evidence = (
        f"A chain of three in {len(runs)} places ({', '.join(runs)}; without a server's name: in process): in "
        f"{len(good)} the request goes {' → '.join(WHOLE)}, and without credentials {' → '.join(CUT)}, with 401, the "
        f"application never called. Of {next(iter(found['passed'].values()))[2]} requests of every kind "
        f"{found['passed']['asgi'][0]} (ASGI) and {found['passed']['wsgi'][0]} (WSGI) pass the first of the chain."
    )
    return Conclusion("holds" if len(good) == len(runs) and one_point else "never was", evidence)
