"""The page of the claims says what the records say, and names tests that exist."""

import pytest

from apps import serve
from stack import ROOT
from tests.claims.support.contract_matrix import CELLS
from tests.support.stack import PROXIES
from tools import claims


def test_the_page_of_the_claims_is_up_to_date() -> None:
    assert claims.PAGE.read_text() == claims.page(), "run `make docs`"


@pytest.mark.parametrize("identifier", claims.IDS)
def test_every_claim_has_a_file_and_a_verdict(identifier: str) -> None:
    assert identifier in claims.files(), f"no tests/claims/test_{identifier.lower()}_….py"
    record = claims.read(identifier)
    assert record, f"no verdict: make claims ONLY={identifier}"
    assert record["verdict"] in claims.VERDICTS and record["evidence"] and record["found"]
    assert record["file"] == str(claims.files()[identifier].relative_to(ROOT))
    assert record["tests"]
    assert set(record["tests"]) - claims.names_of_tests() == set()


def test_the_records_have_every_server_proxy_and_application_that_there_is() -> None:
    """What was added since is not in them: they would pass for the whole."""
    servers = {" ".join(pair) for pair in serve.pairs()}
    protocols, matrix = ((claims.read(name) or {})["found"] for name in ("C02", "C26"))
    again = "measure again: make claims ONLY="
    assert set(protocols["as a single server"]) == servers, f"{again}C02"
    assert {proxy: set(rows) for proxy, rows in protocols["behind"].items()} == dict.fromkeys(PROXIES, servers), (
        f"{again}C02"
    )
    cells = {(app, server) for app, row in matrix["matrix"].items() for server in row if server in servers}
    assert cells == {(app, f"{server} {interface}") for server, interface, app in CELLS}, f"{again}C26"
