"""What the settings have to be for a certificate by ACME: `make up` refuses the rest in one clear line."""

from pathlib import Path

import pytest

from stack import ROOT, Problem, acme
from stack.compose import Compose
from tests.support.stack import PROXIES

PUBLIC = {"ACME_EMAIL": "ops@shop.example", "DOMAIN": "shop.example www.shop.example", "BIND": "0.0.0.0"}
PORTS = {f"{proxy.upper()}_{kind}_PORT": port for proxy in PROXIES for kind, port in (("HTTP", "80"), ("HTTPS", "443"))}


def check(settings: dict[str, str], *proxies: str) -> bool:
    """Whether the service `acme` runs with these settings."""
    return acme.check(settings, Compose(settings), proxies)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ACME_EMAIL": "ops"}, "ACME_EMAIL=ops is not an e-mail address: give one, such as you@example.org"),
        ({"DOMAIN": "shop.example localhost"}, "ACME_EMAIL needs public names: DOMAIN holds localhost"),
        ({"DOMAIN": "192.0.2.1"}, "ACME_EMAIL needs public names: DOMAIN holds 192.0.2.1"),
        ({"NGINX_HTTP_PORT": "8080"}, "ACME_EMAIL needs port 80, where the ACME server asks: NGINX_HTTP_PORT is 8080"),
        ({"NGINX_HTTPS_PORT": "8443"}, "needs port 443, where the ACME server asks: NGINX_HTTPS_PORT is 8443"),
        ({"BIND": "127.0.0.1"}, "ACME_EMAIL needs an address that the ACME server reaches: BIND is 127.0.0.1"),
        ({"CERTS": "/srv/certs"}, "ACME_EMAIL and CERTS exclude each other"),
        ({"ACME_DIRECTORY": "http://ca"}, "ACME_DIRECTORY=http://ca is not the address of an ACME server"),
        ({"ACME_CA": "nowhere.pem"}, "ACME_CA=nowhere.pem is not a file"),
        ({"ACME_CA": "./nowhere.pem"}, "ACME_CA=./nowhere.pem is not a file"),
    ],
    ids=lambda value: "=".join(*value.items()) if isinstance(value, dict) else "",
)
def test_what_no_acme_server_could_sign_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(Problem) as problem:
        check(PUBLIC | PORTS | change, "nginx")
    assert message in str(problem.value) and "\n" not in str(problem.value)


def test_only_one_proxy_has_port_80() -> None:
    with pytest.raises(Problem, match="ACME_EMAIL needs port 80, which one proxy only can have: give PROXY=nginx"):
        check(PUBLIC | PORTS, "nginx", "caddy")


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_service_runs_beside_every_proxy_but_caddy(proxy: str) -> None:
    assert check(PUBLIC | PORTS, proxy) == (proxy != "caddy")
    assert not check(PORTS, proxy)
    by_caddy = PUBLIC | PORTS | {"ACME_EMAIL": "", "CADDY_TLS": "ops@shop.example"}
    assert not check(by_caddy, proxy)


def test_a_company_has_names_without_a_dot_and_a_balancer_other_ports() -> None:
    company = {"ACME_DIRECTORY": "https://ca:9000/acme/acme/directory", "ACME_CA": "./images/no-extra-ca.pem"}
    assert check(PUBLIC | PORTS | company | {"DOMAIN": "shop"}, "nginx")
    assert check(PUBLIC | {"TRUSTED_PROXIES": "192.0.2.1", "BIND": "127.0.0.1"}, "nginx")


def test_every_proxy_watches_the_certificate_in_the_same_way() -> None:
    scripts = [Path(ROOT / proxy / "watch-certificates.sh") for proxy in PROXIES]
    assert len({script.read_bytes() for script in scripts}) == 1
