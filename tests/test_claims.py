"""The page of the claims says what the records say, and names tests that exist."""

import pytest

from stack import ROOT, claims


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
