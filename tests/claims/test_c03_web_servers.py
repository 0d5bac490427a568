"""C03: the web server is where the application protocol ends; which ones there are."""

import pytest

from stack import proxies
from tests.claims import Claim, Conclusion, Finding, Table
from tests.support.stack import PROXIES, StackUnderTest, proxy_version, spoken_versions

CLAIM = Claim(
    "C03",
    "The web server is where the application protocol ends. Options: Apache, NGINX, Caddy, IIS, Traefik",
    also=("test_http_3_is_offered_and_spoken", "test_one_authority_serves_both_proxies"),
)
NAMED = {"apache": "Apache", "nginx": "NGINX", "caddy": "Caddy", "iis": "IIS", "traefik": "Traefik"}
NOT_HERE = {"iis": "runs on Windows only; nothing was measured"}


@pytest.mark.parametrize("name", PROXIES)
def test_what_the_client_spoke_ends_at_the_web_server(stack: StackUnderTest, name: str, finding: Finding) -> None:
    stack.serve("granian", "asgi")
    seen = {}
    for version in spoken_versions(name):
        answer = stack.get(name, "/request", version)  # asserted to have come over that version, over verified TLS
        assert answer.status_code == 200
        seen[version] = [answer.json()["http_version"], answer.json()["scheme"]]
    finding[name] = {"release": proxy_version(name), "the application saw": seen}


def conclude(found: Finding) -> Conclusion:
    """Holds as far as it was measured: with a limit while a named web server was not."""
    ends = all(saw == ["1.1", "https"] for one in found.values() for saw in one["the application saw"].values())
    rows = []
    for key, name in NAMED.items():
        if key not in found:
            rows.append([name, "–", NOT_HERE.get(key, "not measured"), "–", "–"])
            continue
        lacks = [duty for proxy, duty in proxies.LACKS if proxy == key]
        versions = found[key]["the application saw"]
        told = sorted({version for version, _ in versions.values()})
        rows.append([name, found[key]["release"], ", ".join(versions), ", ".join(told), ", ".join(lacks) or "nothing"])
    measured = [name for key, name in NAMED.items() if key in found]
    evidence = (
        f"{', '.join(measured)}: each ends TLS and every HTTP version its clients speak, and asks the application over "
        "HTTP/1.1, which still learns that the client came by https. "
        + " ".join(f"{NAMED[key]} {why}." for key, why in NOT_HERE.items() if key not in found)
    )
    table = Table(
        "Web servers",
        ["", "release here", "HTTP versions for clients", "HTTP version for the application", "lacks"],
        rows,
        "`make up PROXY=apache` runs that one; what is lacking, and why, is in [proxies.md](proxies.md).",
    )
    verdict = "never was" if not ends else "holds" if found.keys() == NAMED.keys() else "holds with a limit"
    return Conclusion(verdict, evidence, (table,))  # type: ignore[arg-type]
