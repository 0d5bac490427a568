"""C01: HTTP is request and response. The talk's example is a login."""

import json

import pytest

from tests.claims import Claim, Conclusion, Finding
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim(
    "C01",
    "HTTP is request–response: method, status code, headers, body. `POST /login` with a JSON body (`email`, `senha`) "
    'answers 200 with `{"access_token": …, "token_type": "bearer"}`',
    also=("test_every_application_keeps_the_contract",),
)
EXAMPLE = {"email": "ana@example.org", "senha": 123}  # the talk sends the password (Portuguese: senha) as a number
MISTAKES = {
    "a field missing": '{"email": "ana@example.org"}',
    "a field of the wrong type": '{"email": 1, "senha": true}',
    "not JSON": '{"email": ',
    "not an object": "[]",
}


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do, because the contract holds for all."""
    stack.serve("granian", "asgi")


def test_the_talks_login_earns_a_token(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    headers = {"Content-Type": "application/json"}
    answer = stack.request(proxy, "POST", "/login", data=json.dumps(EXAMPLE), headers=headers)
    finding.setdefault("example", {})[proxy] = [answer.status_code, sorted(answer.json()), answer.json()["token_type"]]
    assert stack.get(proxy, "/login").status_code == 405, "another method is another request"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_login_is_the_clients_mistake(
    stack: StackUnderTest, proxy: str, mistake: str, finding: Finding
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = stack.request(proxy, "POST", "/login", data=MISTAKES[mistake], headers=headers)
    assert answer.json()["detail"], "a reason is given"
    finding.setdefault("wrong", {}).setdefault(mistake, {})[proxy] = answer.status_code


def conclude(finding: Finding) -> Conclusion:
    """Holds if the example is answered as written, and every wrong body with 422."""
    example_holds = all(
        finding["example"][proxy] == [200, ["access_token", "token_type"], "bearer"] for proxy in DEFAULT_PROXIES
    )
    statuses = {status for statuses in finding["wrong"].values() for status in statuses.values()}
    holds = example_holds and statuses == {422}
    evidence = (
        f"The example, its password a number, answers {finding['example']['nginx'][0]} with a bearer token through "
        f"{len(DEFAULT_PROXIES)} proxies; {len(MISTAKES)} kinds of wrong bodies answer "
        f"{', '.join(map(str, sorted(statuses)))}."
    )
    return Conclusion("holds" if holds else "never was", evidence)
