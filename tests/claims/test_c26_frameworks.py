"""C26: which interface each framework has."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import contract, serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.matrix import CELLS, matrix_cell, named, websocket_fault
from tests.support.engine import docker
from tests.support.stack import DEFAULT_PROXIES, PROXIES, StackUnderTest

CLAIM = Claim(
    "C26",
    "The table of frameworks: Bottle speaks WSGI; Django, Flask and Tornado speak WSGI and ASGI; FastAPI, Starlette, "
    "Quart and BlackSheep speak ASGI",
    also=("test_a_wsgi_application_keeps_the_contract", "test_an_asgi_application_keeps_the_contract"),
)
DOCUMENTED = {
    "bottle": ["wsgi"],
    "django": ["wsgi", "asgi"],
    "flask": ["wsgi", "asgi"],
    "tornado": ["wsgi", "asgi"],
    "fastapi": ["asgi"],
    "starlette": ["asgi"],
    "quart": ["asgi"],
    "blacksheep": ["asgi"],
}
NAMES = {"fastapi": "FastAPI", "blacksheep": "BlackSheep"}
ADAPTED = "asgi through a2wsgi"
OWN = "its own server"


def test_every_framework_is_called_both_ways(stack: StackUnderTest, finding: Finding) -> None:
    stack.serve("granian", "asgi")
    answers = json.loads(stack.in_app((Path(__file__).parent / "both_ways.py").read_text()))
    assert answers.keys() == DOCUMENTED.keys(), "a framework of the documents has no application here, or another has"
    finding["both ways"] = answers
    # Controls: each way of calling reaches an application, and an application that is not spoken to rightly fails.
    assert [answers["bottle"]["wsgi"], answers["starlette"]["asgi"]] == ["", ""]
    assert answers["bottle"]["asgi"] and answers["starlette"]["wsgi"]


@pytest.fixture
def native(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """Tornado's own handlers on Tornado's own server, in the app's place behind the proxies."""
    for one in stack.compose.containers("app", include_stopped=True):
        docker("rm", "--force", one)
    stack.serving = None
    stack.choose_server("tornado", "wsgi", "bare")
    template = "{{(index .IPAM.Config 0).Subnet}}"
    subnet = docker("network", "inspect", f"{stack.compose.project}_backend", "--format", template)
    given = ("--env", "WORKERS=2", "--env", f"FORWARDED_ALLOW_IPS={subnet}")
    command = ("python3", "-m", "apps.tornado_native")
    stack.compose.run("run", "--detach", "--no-deps", "--use-aliases", *given, "app", *command)
    try:
        stack.wait_for_app()
        stack.wait_for_proxies(PROXIES)
        yield stack
    finally:
        docker("rm", "--force", stack.app())


def test_tornados_own_handlers_answer_on_tornados_own_server(native: StackUnderTest, finding: Finding) -> None:
    for proxy in DEFAULT_PROXIES:
        assert contract.verify(native.sender(proxy, "1.1")) == {}
        assert websocket_fault(native, proxy) == ""
        seen = native.get(proxy, "/request").json()
        assert (seen["client"][0], seen["scheme"], seen["interface"]) == (native.gateway(), "https", "none")
    finding.setdefault("matrix", {}).setdefault("tornado", {})[OWN] = []


def test_a_flask_application_fails_on_an_asgi_server_and_answers_through_an_adapter(
    stack: StackUnderTest, finding: Finding
) -> None:
    """On the same server, Uvicorn: the application through a2wsgi, and itself as an ASGI application."""
    stack.serve("uvicorn", "wsgi", "flask")
    adapted = stack.get("nginx", "/").status_code
    start = "uvicorn --host 127.0.0.1 --port 8001 --interface asgi3 --lifespan off apps.wsgi.flask:site"
    ask = (
        "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8001, timeout=10); c.request('GET', '/'); "
        "print(c.getresponse().status)"
    )
    try:
        docker("exec", "--detach", stack.app(), *start.split())

        def asked() -> str:
            said = docker("exec", stack.app(), "python3", "-c", ask, check=False)
            return said if said.isdigit() else ""

        itself = wait_until(asked, 60)
    finally:
        stack.serving = None
    assert (adapted, itself) == (200, "500"), "the claim's row says how Flask fails"
    finding["flask on uvicorn"] = {"as ASGI": int(itself), "through a2wsgi": adapted}


@pytest.mark.long
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_a_framework_answers_alike_on_every_server(
    stack: StackUnderTest, finding: Finding, cell: tuple[str, str, str]
) -> None:
    server, interface, app = cell
    faults = matrix_cell(stack, *cell)
    assert faults.keys() - named(*cell) == set(), faults
    assert named(*cell) - faults.keys() == set(), "upstream has mended these: take them out of contract.DIFFERENCES"
    finding.setdefault("matrix", {}).setdefault(app, {})[f"{server} {interface}"] = sorted(faults)


def title(framework: str) -> str:
    """A framework's name as its project writes it."""
    return NAMES.get(framework, framework.capitalize())


def conclude(found: Finding) -> Conclusion:
    """Holds if every framework answers on the interfaces that the documents give it, and on no other."""
    both = found["both ways"]
    measured = {name: [way for way in ("wsgi", "asgi") if both[name][way] == ""] for name in DOCUMENTED}
    wrong = [name for name in DOCUMENTED if measured[name] != DOCUMENTED[name]]
    verdict: Verdict = (
        "holds" if not wrong else "holds with a limit" if len(wrong) < len(DOCUMENTED) / 2 else "never was"
    )
    said = []
    for name in wrong:
        has = " and ".join(way.upper() for way in measured[name]) or "neither"
        adapted = "asgi" not in measured[name] and both[name][ADAPTED] == ""
        said.append(f"{title(name)} has {has}{' (ASGI through a2wsgi only)' if adapted else ''}")
    cells = [cell for row in found["matrix"].values() for cell in row.values()]
    evidence = (
        f"Called both ways, {len(DOCUMENTED) - len(wrong)} of {len(DOCUMENTED)} frameworks answer as the table says"
        f"{'; ' + ', '.join(said) if said else ''}. Of {len(cells)} cells of server and application, "
        f"{cells.count([])} answer the whole contract alike, and the rest differ by name."
    )
    flask = found["flask on uvicorn"]
    evidence += (
        f" A Flask application on Uvicorn answers {flask['as ASGI']} as ASGI, {flask['through a2wsgi']} through a2wsgi."
    )
    return Conclusion(verdict, evidence, (interfaces(found, measured), matrix(found)))


def interfaces(found: Finding, measured: dict[str, list[str]]) -> Table:
    """What the documents give each framework, and what it has."""
    rows = []
    for name, documented in DOCUMENTED.items():
        answers = found["both ways"][name]
        row = [title(name)]
        for way in ("wsgi", "asgi"):
            mark = "✓" if way in measured[name] else "–"
            changed = (way in measured[name]) != (way in documented)
            row.append(f"**{mark}** (documents: {'✓' if way in documented else '–'})" if changed else mark)
        row.append("" if "asgi" in measured[name] else "✓" if answers[ADAPTED] == "" else "–")
        row.append("; ".join(f"{way.upper()}: `{answers[way]}`" for way in ("wsgi", "asgi") if answers[way]))
        rows.append(row)
    note = (
        "Every application object of a framework is called as a WSGI and as an ASGI server would; bold where the "
        "documents say otherwise. Tornado hosts other people's WSGI applications (the matrix below)."
    )
    return Table("Interfaces", ["framework", "WSGI", "ASGI", "ASGI through a2wsgi", "what else it says"], rows, note)


def matrix(found: Finding) -> Table:
    """The full matrix: rows are applications, columns servers."""
    columns = [f"{server} {interface}" for server, interface in sorted(serve.pairs(), key=lambda pair: pair[::-1])]
    rows = []
    for app in ["bare", *DOCUMENTED]:
        cells = found["matrix"].get(app, {})
        said = {one: ", ".join(differing) or "✓" for one, differing in cells.items()}
        rows.append([title(app), *(said.get(one, "–") for one in [*columns, OWN])])
    note = (
        "✓: the whole contract, and on ASGI a WebSocket, answered the same through NGINX. Otherwise the checks "
        "that differ, strictly ([servers.md](servers.md) has the reasons). –: the framework has not that interface. "
        "Bare is no framework."
    )
    return Table("Server × framework", ["", *columns, OWN], rows, note)
