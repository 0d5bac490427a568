"""C03: the application protocol ends at the web server. Which web servers are there?"""

import pytest

from stack import proxies
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.support.stack import PROXIES, StackUnderTest, proxy_version, spoken_versions

CLAIM = Claim(
    "C03",
    "The web server is where the application protocol ends. Options: Apache, NGINX, Caddy, IIS, Traefik",
    also=("test_http_3_is_offered_and_spoken", "test_one_authority_serves_both_proxies"),
)
NAMED = {"apache": "Apache", "nginx": "NGINX", "caddy": "Caddy", "iis": "IIS", "traefik": "Traefik"}
# Why a web server that the talk names is not measured. A proxy of this stack that the talk does not name has no row.
NOT_HERE = {"iis": "runs on Windows only; nothing was measured"}


@pytest.mark.parametrize("name", PROXIES)
def test_what_the_client_spoke_ends_at_the_web_server(stack: StackUnderTest, name: str, finding: Finding) -> None:
    stack.serve("granian", "asgi")
    versions = {}
    for version in spoken_versions(name):
        answer = stack.get(name, "/request", version)  # asserted to have come over that version, over verified TLS
        assert answer.status_code == 200
        versions[version] = [answer.json()["http_version"], answer.json()["scheme"]]
    finding[name] = {"release": proxy_version(name), "the application saw": versions}


def conclude(finding: Finding) -> Conclusion:
    """Holds for the web servers that were measured; with a limit while one that the talk names was not measured."""
    every_protocol_ends = all(
        versions == ["1.1", "https"] for row in finding.values() for versions in row["the application saw"].values()
    )
    all_measured = finding.keys() == NAMED.keys()
    verdict: Verdict = "never was" if not every_protocol_ends else "holds" if all_measured else "holds with a limit"
    measured = [name for key, name in NAMED.items() if key in finding]
    evidence = (
        f"{', '.join(measured)}: each ends TLS and every HTTP version its clients speak, and asks the application over "
        "HTTP/1.1, which still learns that the client came by https. "
        + " ".join(f"{NAMED[key]} {why}." for key, why in NOT_HERE.items() if key not in finding)
    )
    return Conclusion(verdict, evidence, (make_table(finding),))


def make_table(finding: Finding) -> Table:
    """The web servers that the talk names, measured or not."""
    rows = []
    for key, name in NAMED.items():
        if key not in finding:
            rows.append([name, "–", NOT_HERE.get(key, "not measured"), "–", "–"])
            continue
        lacking = [duty for proxy, duty in proxies.LACKS if proxy == key]
        versions = finding[key]["the application saw"]
        upstream = sorted({version for version, _ in versions.values()})
        row = [name, finding[key]["release"], ", ".join(versions), ", ".join(upstream), ", ".join(lacking) or "nothing"]
        rows.append(row)
    return Table(
        "Web servers",
        ["", "release here", "HTTP versions for clients", "HTTP version for the application", "lacks"],
        rows,
        "`make up PROXY=apache` runs that one; what is lacking, and why, is in [proxies.md](proxies.md).",
    )
