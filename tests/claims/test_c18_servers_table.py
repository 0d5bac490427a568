"""C18: the talk's table of servers. Each cell is asked of the server itself."""

from typing import Any

import pytest

from apps.runtime import serve
from stack.proxies import LACKS
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.protocols import Protocols, speaks

CLAIM = Claim(
    "C18",
    "The table of servers: Gunicorn WSGI, HTTP/1. Uvicorn ASGI, HTTP/1. Hypercorn ASGI, HTTP/1, 2, (3). Daphne ASGI, "
    "HTTP/1. Granian WSGI, ASGI, HTTP/1, 2",
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first test builds an image
COLUMNS = ("WSGI", "ASGI", "HTTP/1", "HTTP/2", "HTTP/3")
TALK = {
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
@pytest.mark.parametrize("server", TALK)
def test_a_servers_own_command_is_given_an_application_of_each_interface(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    row = protocols.probe_native(server, interface)
    assert row["seen"], "the server answered, or printed why it does not start"
    finding.setdefault(server, {})[interface] = row


@pytest.mark.parametrize("server", TALK)
def test_a_server_in_its_best_configuration_is_asked_for_each_version(
    protocols: Protocols, server: str, finding: Finding
) -> None:
    rows = {interface: protocols.probe_server(server, interface) for interface in serve.servers()[server]}
    assert any(speaks(row, "1.0") for row in rows.values()), f"{server} answers nothing at all: {rows}"
    finding.setdefault(server, {})["starts"] = {interface: row["starts"] for interface, row in rows.items()}
    finding[server]["versions"] = {
        column: sorted({feature for feature in features for row in rows.values() if speaks(row, feature)})
        for column, features in VERSIONS.items()
    }


def test_each_probe_can_say_yes_and_no(protocols: Protocols) -> None:
    reference = protocols.probe_server("wsgiref", "wsgi")
    assert speaks(reference, "1.0"), "wsgiref speaks HTTP/1.0 and nothing newer"
    assert not [feature for features in VERSIONS.values() for feature in features if speaks(reference, feature)]
    proxies = protocols.probe_behind_proxies("granian", "asgi")
    for proxy, row in proxies.items():
        for version in VERSIONS:
            spoken = [feature for feature in VERSIONS[version] if speaks(row, feature)]
            assert bool(spoken) == ((proxy, version) not in LACKS), f"{proxy}: {version}"


def is_supported(measured: dict[str, Any], column: str) -> bool:
    """A cell: whether the server supports it natively, and does not call it deprecated."""
    if column in VERSIONS:
        return bool(measured["versions"][column])
    return measured[column.lower()]["serves"] and not measured[column.lower()]["deprecated"]


def conclude(finding: Finding) -> Conclusion:
    """Holds if no cell differs from the talk's. A cell that differs was changed by a release since."""
    cells = [(server, column) for server in TALK for column in COLUMNS]
    changed = [
        f"{server} {column}"
        for server, column in cells
        if is_supported(finding[server], column) != in_talk(server, column)
    ]
    shims = [f"{server} {column}" for server, column in cells if is_deprecated_shim(finding[server], server, column)]
    verdict: Verdict = "no longer true" if changed else "holds"
    evidence = f"{len(changed)} of {len(cells)} cells differ"
    evidence += f": {', '.join(changed)}." if changed else "."
    evidence += f" Counted as no: {', '.join(shims)}, a shim that the server itself calls deprecated." if shims else ""
    return Conclusion(verdict, evidence, (make_table(finding),))


def in_talk(server: str, column: str) -> bool:
    """A cell of the talk's table."""
    return column in TALK[server]


def is_deprecated_shim(measured: dict[str, Any], server: str, column: str) -> bool:
    """Whether the talk and the server agree on a cell, but the server has what it calls deprecated."""
    agree = is_supported(measured, column) == in_talk(server, column)
    return agree and bool(measured.get(column.lower(), {}).get("deprecated"))


def make_table(finding: Finding) -> Table:
    """The talk's table as measured."""
    rows = [
        [server, *(make_cell(finding[server], server, column) for column in COLUMNS), list_means(finding[server])]
        for server in TALK
    ]
    note = (
        "Each cell is what the server did when it was asked; where it differs from the talk it is bold: the talk's → "
        "measured. Interfaces: the server's own command, without an adapter of another project. Versions: the best "
        "configuration that the release offers (tests/claims/probe/servers.py), TLS and extras included."
    )
    return Table("The talk's table, measured", ["server", *COLUMNS, "HTTP/2 and 3 by"], rows, note)


def make_cell(measured: dict[str, Any], server: str, column: str) -> str:
    """The measured mark; bold, after the talk's, where the two differ."""
    now, talk = is_supported(measured, column), in_talk(server, column)
    if now != talk:
        return f"**{'✓' if talk else '–'} → {'✓' if now else '–'}**"
    shim = " (deprecated shim)" if is_deprecated_shim(measured, server, column) else ""
    return ("✓" if now else "–") + shim


def list_means(measured: dict[str, Any]) -> str:
    """By which means a client reaches the newer versions."""
    means = [*measured["versions"]["HTTP/2"], *measured["versions"]["HTTP/3"]]
    return ", ".join(name.removeprefix("h2 by ").replace("HTTP/3", "QUIC") for name in means) or "–"
