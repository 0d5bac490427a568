"""The page of the claims shows the records, and names tests that exist."""

from typing import Any

import pytest

from apps.runtime import serve
from stack import ROOT
from tests.claims.support.contract_matrix import CELLS
from tests.support.stack import PROXIES
from tools.claims import page, records


def test_the_page_of_the_claims_is_up_to_date() -> None:
    assert page.FILE.read_text() == page.render(), "run `make docs`"


@pytest.mark.parametrize("identifier", records.IDS)
def test_every_claim_has_a_file_and_a_verdict(identifier: str) -> None:
    assert identifier in records.files(), f"no tests/claims/test_{identifier.lower()}_….py"
    record = records.read(identifier)
    assert record, f"no verdict: make claims ONLY={identifier}"
    assert record["verdict"] in records.VERDICTS and record["evidence"] and record["finding"]
    assert record["file"] == str(records.files()[identifier].relative_to(ROOT))
    assert record["tests"]
    assert set(record["tests"]) - records.names_of_tests() == set()


def read_found(identifier: str) -> dict[str, Any]:
    """What the tests of a claim measured."""
    record = records.read(identifier)
    assert record
    return record["finding"]


def test_the_records_have_every_server_proxy_and_application_that_there_is() -> None:
    """A record from before a server, proxy or application was added would hide that its cells are missing."""
    servers = {" ".join(pair) for pair in serve.pairs()}
    protocols, matrix = read_found("C02"), read_found("C26")
    again = "measure again: make claims ONLY="
    assert set(protocols["as a single server"]) == servers, f"{again}C02"
    assert {proxy: set(rows) for proxy, rows in protocols["behind"].items()} == dict.fromkeys(PROXIES, servers), (
        f"{again}C02"
    )
    cells = {(app, server) for app, row in matrix["matrix"].items() for server in row if server in servers}
    assert cells == {(app, f"{server} {interface}") for server, interface, app in CELLS}, f"{again}C26"
