"""C18: the documents' table of servers, each cell asked of the server itself."""

from typing import Any

import pytest

from apps import serve
from stack.proxies import LACKS
from tests.claims import Claim, Conclusion, Finding, Table
from tests.claims.protocols import Protocols, says

CLAIM = Claim(
    "C18",
    "The table of servers: Gunicorn WSGI, HTTP/1. Uvicorn ASGI, HTTP/1. Hypercorn ASGI, HTTP/1, 2, (3). Daphne ASGI, "
    "HTTP/1. Granian WSGI, ASGI, HTTP/1, 2",
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first builds an image
COLUMNS = ("WSGI", "ASGI", "HTTP/1", "HTTP/2", "HTTP/3")
DOCUMENTS = {
    "gunicorn": {"WSGI", "HTTP/1"},
    "uvicorn": {"ASGI", "HTTP/1"},
    "hypercorn": {"ASGI", "HTTP/1", "HTTP/2", "HTTP/3"},
    "daphne": {"ASGI", "HTTP/1"},
    "granian": {"WSGI", "ASGI", "HTTP/1", "HTTP/2"},
}
VERSIONS = {
    "HTTP/1": ("1.1 keep-alive",),
    "HTTP/2": ("h2 by ALPN", "h2c by prior knowledge", "h2c by Upgrade"),
    "HTTP/3": ("HTTP/3",),
}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("server", DOCUMENTS)
def test_a_servers_own_command_is_given_an_application_of_each_interface(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    row = protocols.native(server, interface)
    assert row["seen"], "it answered, or said why it does not start"
    finding.setdefault(server, {})[interface] = row


@pytest.mark.parametrize("server", DOCUMENTS)
def test_a_server_in_its_best_configuration_is_asked_for_each_version(
    protocols: Protocols, server: str, finding: Finding
) -> None:
    rows = {interface: protocols.alone(server, interface) for interface in serve.servers()[server]}
    assert any(says(row, "1.0") for row in rows.values()), f"{server} answers nothing at all: {rows}"
    finding.setdefault(server, {})["starts"] = {interface: row["starts"] for interface, row in rows.items()}
    finding[server]["versions"] = {
        column: sorted({one for one in features for row in rows.values() if says(row, one)})
        for column, features in VERSIONS.items()
    }


def test_each_probe_can_say_yes_and_no(protocols: Protocols) -> None:
    reference = protocols.alone("wsgiref", "wsgi")
    assert says(reference, "1.0"), "wsgiref speaks HTTP/1.0 and nothing newer"
    assert not [one for features in VERSIONS.values() for one in features if says(reference, one)]
    proxies = protocols.behind("granian", "asgi")
    for proxy, row in proxies.items():
        for version in VERSIONS:
            spoken = [feature for feature in VERSIONS[version] if says(row, feature)]
            assert bool(spoken) == ((proxy, version) not in LACKS), f"{proxy}: {version}"


def value(measured: dict[str, Any], column: str) -> bool:
    """A cell: does the server do it, natively and not as what it calls deprecated?"""
    if column in VERSIONS:
        return bool(measured["versions"][column])
    return measured[column.lower()]["serves"] and not measured[column.lower()]["deprecated"]


def conclude(found: Finding) -> Conclusion:
    """Holds if no cell differs from the documents'; any that does is a release that changed it."""
    rows, changed, shims = [], [], []
    for server, said in DOCUMENTS.items():
        cells = []
        for column in COLUMNS:
            now, then = value(found[server], column), column in said
            mark = "✓" if now else "–"
            if now != then:
                changed.append(f"{server} {column}")
                mark = f"**{'✓' if then else '–'} → {mark}**"
            elif found[server].get(column.lower(), {}).get("deprecated"):
                shims.append(f"{server} {column}")
                mark += " (deprecated shim)"
            cells.append(mark)
        rows.append([server, *cells, how(found[server])])
    evidence = f"{len(changed)} of {len(DOCUMENTS) * len(COLUMNS)} cells differ"
    evidence += f": {', '.join(changed)}." if changed else "."
    evidence += f" Counted as no: {', '.join(shims)}, a shim that the server itself calls deprecated." if shims else ""
    note = (
        "Each cell is what the server did when it was asked; where it differs from the documents it is bold: theirs → "
        "measured. Interfaces: the server's own command, without an adapter of another project. Versions: the best "
        "configuration that the release offers (tests/claims/probe/servers.py), TLS and extras included."
    )
    table = Table("The documents' table, measured", ["server", *COLUMNS, "HTTP/2 and 3 by"], rows, note)
    return Conclusion("no longer true" if changed else "holds", evidence, (table,))


def how(measured: dict[str, Any]) -> str:
    """By which ways the newer versions are reached."""
    ways = [*measured["versions"]["HTTP/2"], *measured["versions"]["HTTP/3"]]
    return ", ".join(way.removeprefix("h2 by ").replace("HTTP/3", "QUIC") for way in ways) or "–"
