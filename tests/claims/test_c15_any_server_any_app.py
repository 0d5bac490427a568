"""C15: does any WSGI server run any WSGI application?"""

import pytest

from apps import contract
from tests.claims import Claim, Conclusion, Finding, Table, single_server
from tests.claims.single_server import SingleServers

CLAIM = Claim(
    "C15",
    "WSGI gives decoupling, interoperability and simplicity: any WSGI server runs any WSGI application",
    also=("test_every_application_keeps_the_contract", "test_a_wsgi_application_keeps_the_contract"),
)

NOTE = "Upstream on hypercorn: pgjones/hypercorn#331; on granian and generators: emmett-framework/granian#845, wontfix."


@pytest.mark.long
def test_every_wsgi_server_runs_the_documents_example(servers: SingleServers, finding: Finding) -> None:
    for server in single_server.with_interface("wsgi"):
        with servers.serving(server, "wsgi", single_server.EXAMPLES / "ref.py") as one:
            answer = one.get("/any/path")
            good = (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain", b"Hello world!")
        finding.setdefault("example", {})[server] = good


@pytest.mark.long
def test_every_wsgi_server_keeps_the_contract_but_for_what_is_named(servers: SingleServers, finding: Finding) -> None:
    """Without a proxy; chunked bodies reach the server as they reach it behind Caddy."""
    names = {check.name for check in contract.CHECKS}
    for server in single_server.with_interface("wsgi"):
        with servers.serving(server, "wsgi") as one:
            faults = contract.verify(one.send)
        named = set(contract.differences(server, "wsgi", "caddy", "1.1")) & names
        assert set(faults) == named, faults
        finding.setdefault("faults", {})[server] = faults


@pytest.mark.long
def test_which_servers_wait_for_an_application_to_begin(servers: SingleServers, finding: Finding) -> None:
    """PEP 3333: a server must not assume that `start_response` was called before it asks for the first piece."""
    for server in single_server.with_interface("wsgi"):
        with servers.serving(server, "wsgi", single_server.PROBES / "lazy.py") as one:
            answer = one.get("/")
        assert answer.body == b"lazy"
        finding.setdefault("lazy", {})[server] = [answer.status, answer.headers.get("x-lazy")]


def conclude(found: Finding) -> Conclusion:
    """Holds if every server runs both applications without a fault; with a limit if all run the example only."""
    faults = {server: faults for server, faults in found["faults"].items() if faults}
    runs = all(found["example"].values())
    rows = [[server, check, f"`{words}`"] for server, some in faults.items() for check, words in some.items()]
    hasty = [server for server, (status, header) in found["lazy"].items() if (status, header) != (404, "yes")]
    rows += [
        [s, "an application that is a generator", f"`its 404 with headers is a {found['lazy'][s][0]} without`"]
        for s in hasty
    ]
    evidence = (
        f"{sum(found['example'].values())} of {len(found['example'])} WSGI servers run the documents' example; "
        f"of {len(contract.CHECKS)} checks of one application, all are right on "
        f"{len(found['faults']) - len(faults)} servers; "
        + "; ".join(f"{server} fails {len(some)}" for server, some in faults.items())
        + f". Of an application that is a generator {', '.join(hasty) or 'no server'} loses status and headers."
    )
    tables = (Table("What a WSGI server cannot run", ["server", "check", "what is wrong"], rows, NOTE),) if rows else ()
    verdict = "never was" if not runs else "holds with a limit" if faults or hasty else "holds"
    return Conclusion(verdict, evidence, tables)  # type: ignore[arg-type]
