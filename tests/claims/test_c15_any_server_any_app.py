"""C15: does any WSGI server run any WSGI application?"""

import pytest

from apps import contract, named_differences
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.server_scripts import find_servers
from tests.claims.support.server_starter import APPS, EXAMPLES, SingleServers

CLAIM = Claim(
    "C15",
    "WSGI gives decoupling, interoperability and simplicity: any WSGI server runs any WSGI application",
    also=("test_every_application_keeps_the_contract", "test_a_wsgi_application_keeps_the_contract"),
)

NOTE = "Upstream on hypercorn: pgjones/hypercorn#331; on granian and generators: emmett-framework/granian#845, wontfix."


@pytest.mark.long
def test_every_wsgi_server_runs_the_talks_example(servers: SingleServers, finding: Finding) -> None:
    for server in find_servers("wsgi"):
        with servers.serving(server, "wsgi", EXAMPLES / "ref.py") as single:
            answer = single.get("/any/path")
            good = (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain", b"Hello world!")
        finding.setdefault("example", {})[server] = good


@pytest.mark.long
def test_every_wsgi_server_keeps_the_contract_but_for_what_is_named(servers: SingleServers, finding: Finding) -> None:
    """Without a proxy. Chunked bodies reach the server as behind Caddy, so Caddy's differences apply."""
    names = {check.name for check in contract.CHECKS}
    for server in find_servers("wsgi"):
        with servers.serving(server, "wsgi") as single:
            faults = contract.verify(single.send)
        named = set(named_differences.differences(server, "wsgi", "caddy", "1.1")) & names
        assert set(faults) == named, faults
        finding.setdefault("faults", {})[server] = faults


@pytest.mark.long
def test_which_servers_wait_for_an_application_to_begin(servers: SingleServers, finding: Finding) -> None:
    """PEP 3333: a server must not assume that `start_response` was called before it asks for the first piece."""
    for server in find_servers("wsgi"):
        with servers.serving(server, "wsgi", APPS / "wsgi" / "generator.py") as single:
            answer = single.get("/")
        assert answer.body == b"lazy"
        finding.setdefault("lazy", {})[server] = [answer.status, answer.headers.get("x-lazy")]


def conclude(finding: Finding) -> Conclusion:
    """Holds if every server runs every application without a fault; with a limit if all run only the example."""
    faults = {server: faults for server, faults in finding["faults"].items() if faults}
    runs = all(finding["example"].values())
    rows = [[server, check, f"`{fault}`"] for server, failing in faults.items() for check, fault in failing.items()]
    hasty = [server for server, (status, header) in finding["lazy"].items() if (status, header) != (404, "yes")]
    rows += [
        [
            server,
            "an application that is a generator",
            f"`its 404 with headers is a {finding['lazy'][server][0]} without`",
        ]
        for server in hasty
    ]
    evidence = (
        f"{sum(finding['example'].values())} of {len(finding['example'])} WSGI servers run the talk's example; "
        f"of {len(contract.CHECKS)} checks of one application, all are right on "
        f"{len(finding['faults']) - len(faults)} servers; "
        + "; ".join(f"{server} fails {len(failing)}" for server, failing in faults.items())
        + f". Of an application that is a generator {', '.join(hasty) or 'no server'} loses status and headers."
    )
    tables = (Table("What a WSGI server cannot run", ["server", "check", "what is wrong"], rows, NOTE),) if rows else ()
    verdict: Verdict = "never was" if not runs else "holds with a limit" if faults or hasty else "holds"
    return Conclusion(verdict, evidence, tables)
