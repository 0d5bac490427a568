"""C26: which interface each framework has."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import contract
from apps.runtime import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support import containers
from tests.claims.support.contract_matrix import CELLS, check_cell, find_websocket_fault, list_named_differences
from tests.support.engine import exec_in, remove
from tests.support.stack import DEFAULT_PROXIES, PROXIES, StackUnderTest

CLAIM = Claim(
    "C26",
    "The table of frameworks: Bottle speaks WSGI; Django, Flask and Tornado speak WSGI and ASGI; FastAPI, Starlette, "
    "Quart and BlackSheep speak ASGI",
    also=("test_a_wsgi_application_keeps_the_contract", "test_an_asgi_application_keeps_the_contract"),
)
TALK = {
    "bottle": ["wsgi"],
    "django": ["wsgi", "asgi"],
    "flask": ["wsgi", "asgi"],
    "tornado": ["wsgi", "asgi"],
    "fastapi": ["asgi"],
    "starlette": ["asgi"],
    "quart": ["asgi"],
    "blacksheep": ["asgi"],
}
# Names as the projects write them, where capitalizing is not enough.
NAMES = {"fastapi": "FastAPI", "blacksheep": "BlackSheep"}
ADAPTED = "asgi through a2wsgi"
CALL_BOTH_INTERFACES = Path(__file__).parent / "support/call_both_interfaces.py"  # runs in the app's container
OWN = "its own server"


def test_every_framework_is_called_both_ways(stack: StackUnderTest, finding: Finding) -> None:
    stack.serve("granian", "asgi")
    answers = json.loads(stack.in_app(CALL_BOTH_INTERFACES.read_text()))
    assert answers.keys() == TALK.keys(), (
        "a framework of the talk has no application here, or an application has another framework"
    )
    finding["by both interfaces"] = answers
    # Controls: each call reaches an application of its own interface, and fails on an application of the other.
    assert [answers["bottle"]["wsgi"], answers["starlette"]["asgi"]] == ["", ""]
    assert answers["bottle"]["asgi"] and answers["starlette"]["wsgi"]


@pytest.fixture
def native(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """Tornado's own handlers on Tornado's own server, in the app's place behind the proxies."""
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    stack.choose_server("tornado", "wsgi", "bare")
    subnet = containers.read_subnet(f"{stack.compose.project}_backend")
    environment = ("--env", "WORKERS=2", "--env", f"FORWARDED_ALLOW_IPS={subnet}")
    command = ("python3", "-m", "apps.tornado_native")
    stack.compose.run("run", "--detach", "--no-deps", "--use-aliases", *environment, "app", *command)
    try:
        stack.wait_for_app()
        stack.wait_for_proxies(PROXIES)
        yield stack
    finally:
        remove(stack.app())


def test_tornados_own_handlers_answer_on_tornados_own_server(native: StackUnderTest, finding: Finding) -> None:
    for proxy in DEFAULT_PROXIES:
        assert contract.verify(native.sender(proxy, "1.1")) == {}
        assert find_websocket_fault(native, proxy) == ""
        request = native.get(proxy, "/request").json()
        assert (request["client"][0], request["scheme"], request["interface"]) == (native.gateway(), "https", "none")
    finding.setdefault("matrix", {}).setdefault("tornado", {})[OWN] = []


def test_a_flask_application_fails_on_an_asgi_server_and_answers_through_an_adapter(
    stack: StackUnderTest, finding: Finding
) -> None:
    """On the same server, Uvicorn: the application through a2wsgi, and itself as an ASGI application."""
    stack.serve("uvicorn", "wsgi", "flask")
    adapted = stack.get("nginx", "/").status_code
    start = "uvicorn --host 127.0.0.1 --port 8001 --interface asgi3 --lifespan off apps.wsgi.flask:site"
    read_status = (
        "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8001, timeout=10); c.request('GET', '/'); "
        "print(c.getresponse().status)"
    )
    try:
        containers.exec_in_background(stack.app(), *start.split())

        def ask_itself() -> str:
            status = exec_in(stack.app(), "python3", "-c", read_status, check=False)
            return status if status.isdigit() else ""

        itself = wait_until(ask_itself, 60)
    finally:
        stack.serving = None
    assert (adapted, itself) == (200, "500"), "the claim's row describes how Flask fails"
    finding["flask on uvicorn"] = {"as ASGI": int(itself), "through a2wsgi": adapted}


@pytest.mark.long
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_a_framework_answers_alike_on_every_server(
    stack: StackUnderTest, finding: Finding, cell: tuple[str, str, str]
) -> None:
    server, interface, app = cell
    faults, named = check_cell(stack, *cell), list_named_differences(*cell)
    assert faults.keys() - named == set(), faults
    assert named - faults.keys() == set(), "upstream has mended these: take them out of named_differences.DIFFERENCES"
    finding.setdefault("matrix", {}).setdefault(app, {})[f"{server} {interface}"] = sorted(faults)


def write_name(framework: str) -> str:
    """A framework's name as its project writes it."""
    return NAMES.get(framework, framework.capitalize())


def conclude(finding: Finding) -> Conclusion:
    """Holds if every framework answers on the interfaces that the talk gives it, and on no other."""
    measured = find_interfaces(finding)
    wrong = [name for name in TALK if measured[name] != TALK[name]]
    verdict: Verdict = "holds" if not wrong else "holds with a limit" if len(wrong) < len(TALK) / 2 else "never was"
    tables = (make_interfaces_table(finding, measured), make_matrix_table(finding))
    return Conclusion(verdict, write_evidence(finding, measured, wrong), tables)


def find_interfaces(finding: Finding) -> dict[str, list[str]]:
    """By framework: the interfaces on which its own application object answers."""
    answers = finding["by both interfaces"]
    return {name: [interface for interface in ("wsgi", "asgi") if answers[name][interface] == ""] for name in TALK}


def write_evidence(finding: Finding, measured: dict[str, list[str]], wrong: list[str]) -> str:
    """Which frameworks differ from the talk, and how alike the servers are."""
    differing = []
    for name in wrong:
        interfaces = " and ".join(interface.upper() for interface in measured[name]) or "neither"
        adapted = "asgi" not in measured[name] and finding["by both interfaces"][name][ADAPTED] == ""
        differing.append(f"{write_name(name)} has {interfaces}{' (ASGI through a2wsgi only)' if adapted else ''}")
    cells = [cell for row in finding["matrix"].values() for cell in row.values()]
    flask = finding["flask on uvicorn"]
    return (
        f"Called on both interfaces, {len(TALK) - len(wrong)} of {len(TALK)} frameworks answer as the table says"
        f"{'; ' + ', '.join(differing) if differing else ''}. Of {len(cells)} cells of server and application, "
        f"{cells.count([])} answer the whole contract alike, and the rest differ by name."
        f" A Flask application on Uvicorn answers {flask['as ASGI']} as ASGI, {flask['through a2wsgi']} through a2wsgi."
    )


def make_interfaces_table(finding: Finding, measured: dict[str, list[str]]) -> Table:
    """The interfaces that the talk gives each framework, and those that it has."""
    rows = []
    for name, in_talk in TALK.items():
        answers = finding["by both interfaces"][name]
        row = [write_name(name)]
        for interface in ("wsgi", "asgi"):
            mark = "✓" if interface in measured[name] else "–"
            changed = (interface in measured[name]) != (interface in in_talk)
            row.append(f"**{mark}** (talk: {'✓' if interface in in_talk else '–'})" if changed else mark)
        row.append("" if "asgi" in measured[name] else "✓" if answers[ADAPTED] == "" else "–")
        failures = [
            f"{interface.upper()}: `{answers[interface]}`" for interface in ("wsgi", "asgi") if answers[interface]
        ]
        rows.append([*row, "; ".join(failures)])
    note = (
        "Every application object of a framework is called as a WSGI and as an ASGI server would; bold where the "
        "talk says otherwise. Tornado hosts other people's WSGI applications (the matrix below)."
    )
    return Table("Interfaces", ["framework", "WSGI", "ASGI", "ASGI through a2wsgi", "what else it says"], rows, note)


def make_matrix_table(finding: Finding) -> Table:
    """The full matrix: rows are applications, columns servers."""
    columns = [f"{server} {interface}" for server, interface in sorted(serve.pairs(), key=lambda pair: pair[::-1])]
    rows = []
    for app in ["bare", *TALK]:
        cells = finding["matrix"].get(app, {})
        texts = {server: ", ".join(differing) or "✓" for server, differing in cells.items()}
        rows.append([write_name(app), *(texts.get(server, "–") for server in [*columns, OWN])])
    note = (
        "✓: the whole contract, and on ASGI a WebSocket, answered the same through NGINX. Otherwise the checks "
        "that differ, strictly ([servers.md](servers.md) has the reasons). –: the framework has not that interface. "
        "Bare is no framework."
    )
    return Table("Server × framework", ["", *columns, OWN], rows, note)
