"""Certificates by ACME, from a real ACME server: the first one, renewals under load, and a server that fails."""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stack import ROOT
from stack.waiting import wait_until
from tests.support.acme import NAME, KeptConnections, Pebble, connect, make_context, read_certificate, run_pebble
from tests.support.engine import client, exec_in, exec_status, read_logs, remove, send_signal
from tests.support.stack import PROXIES, StackUnderTest, is_healthy

pytestmark = pytest.mark.full
BY_SERVICE = [proxy for proxy in PROXIES if proxy != "caddy"]  # Caddy has a client of its own
# A reload closes the idle connections of Apache. Browsers then ask again on a new connection.
CLOSES_IDLE = {"apache"}
CLIENTS = 4
REQUESTS = 500
# The server asks for each name through another proxy.
NAMES = ("localhost", NAME, f"www.{NAME}", f"m.{NAME}")


class Site:
    """A stack whose certificates come from pebble."""

    def __init__(self, stack: StackUnderTest, pebble: Pebble) -> None:
        self.stack, self.pebble = stack, pebble
        self.local = make_context(stack.read_authority())
        self.public = make_context(pebble.read_root())
        self.addresses = {proxy: stack.address(proxy, "edge") for proxy in BY_SERVICE}
        for name, address in zip(NAMES, self.addresses.values(), strict=True):
            pebble.point(name, at=address)

    def renew(self) -> str:
        """Renews at once; what the service says."""
        return exec_in(self.stack.container("acme"), "acme.sh", "renew", "--force-renewal")

    def read_certificates(self) -> set[bytes]:
        """The certificates of pebble that the proxies serve; empty bytes for another one."""
        return {read_certificate(address, self.public) for address in self.addresses.values()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack with the service acme not yet started."""
    folder = tmp_path_factory.mktemp("acme")
    settings = {
        "DOMAIN": " ".join(NAMES),
        "ACME_EMAIL": "ops@shop.example",
        "ACME_DIRECTORY": "https://pebble:14000/dir",
        "ACME_CA": str(folder / "acme-ca.pem"),
    }
    stack = StackUnderTest(f"acme-{os.getpid()}", folder, BY_SERVICE, **settings)
    stack.build([*PROXIES, "acme"])
    with stack.running(), run_pebble(stack, folder / "acme-ca.pem", validity=90 * 86400) as pebble:
        stack.serve("granian", "asgi")
        yield Site(stack, pebble)


def test_a_first_certificate_is_served(site: Site) -> None:
    assert all(read_certificate(address, site.local) for address in site.addresses.values())
    site.stack.start("acme")
    log = site.stack.container("acme")
    assert wait_until(lambda: "a new certificate" in read_logs(log), 150), read_logs(log)
    assert wait_until(lambda: b"" not in site.read_certificates(), 10), "a proxy does not take the certificate"
    assert len(site.read_certificates()) == 1
    for proxy in BY_SERVICE:
        assert "/.well-known/acme-challenge/" in read_logs(site.stack.container(proxy)), f"{proxy} was not asked"
    site.stack.make_certificates()  # as `make up` does
    assert b"" not in site.read_certificates(), "the local authority took the place of pebble"


@pytest.mark.deployments
def test_a_renewal_loses_no_request(site: Site) -> None:
    """Every proxy takes the new certificate, while clients keep connections."""
    site.stack.start("acme", recreate=True)
    # A first try that comes too early is followed by another one after a minute.
    assert wait_until(lambda: b"" not in site.read_certificates(), 150), "no first certificate"
    before = site.read_certificates()
    with ExitStack() as running:
        loads = {
            proxy: running.enter_context(KeptConnections(address, site.public, CLIENTS))
            for proxy, address in site.addresses.items()
        }
        assert wait_until(lambda: all(load.answers["200"] > REQUESTS / 4 for load in loads.values()), 60)
        assert "a new certificate" in site.renew()
        assert wait_until(lambda: not before & site.read_certificates(), 10), "a proxy goes on with the old certificate"
        assert wait_until(lambda: all(load.answers["200"] > REQUESTS for load in loads.values()), 60)
    assert len(site.read_certificates()) == 1 and b"" not in site.read_certificates()
    assert len(set(re.findall(r"my-account/\w+", site.pebble.read_log()))) == 1, "a new container made a new account"
    for proxy, load in loads.items():
        lost = {"RemoteDisconnected"} if proxy in CLOSES_IDLE else set()
        assert set(load.answers) <= {"200"} | lost, f"through {proxy}: {dict(load.answers)}"
        assert load.answers.total() - load.answers["200"] <= CLIENTS, "more than one request of a client"


@pytest.mark.deployments
@pytest.mark.parametrize("fault", ["away", "refuses"])
def test_a_failing_server_changes_nothing(site: Site, fault: str) -> None:
    before = site.read_certificates()
    network = site.stack.network("edge")
    if fault == "refuses":
        site.pebble.point(NAME, at="127.0.0.1")
    if fault == "away":
        client().api.disconnect_container_from_network(site.pebble.container, network)
    try:
        status, output = exec_status(site.stack.container("acme"), "acme.sh", "renew", "--force-renewal")
    finally:
        if fault == "away":
            connect(site.stack, site.pebble.container)
        site.pebble.point(NAME, at=site.addresses["nginx"])
    assert status == 1 and output.startswith("acme: no certificate: ") and "\n" not in output
    assert ("pebble" if fault == "away" else "connection refused") in output, output
    assert site.read_certificates() == before


@pytest.mark.deployments
def test_a_failure_is_tried_again_later_and_later(site: Site, tmp_path: Path) -> None:
    """The service with a client that fails, and a `sleep` that waits only where it is for six hours."""
    options = []
    for name, line in (("sleep", '[ "$1" != 21600 ] || exec /usr/bin/sleep 600'), ("certbot", "echo no; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
        options += ["--volume", f"{tmp_path}/{name}:/venv/bin/{name}:ro"]
    container = site.stack.compose.run("run", "--detach", "--no-deps", *options, "acme").split()[-1]
    try:
        assert wait_until(lambda: "21600 s" in read_logs(container), 60), read_logs(container)
        pauses = re.findall(r"^acme: the next try is in (\d+) s$", read_logs(container), re.MULTILINE)
        assert pauses == ["60", "240", "960", "3840", "15360", "21600"]
        assert read_logs(container).count("acme: no certificate: no") == len(pauses)
    finally:
        remove(container)


@pytest.mark.deployments
def test_a_changed_certificate_is_served_without_make_up(site: Site) -> None:
    """What writes the files does not matter: here the local authority takes its place back."""
    environment = {**site.stack.compose.environment, "ACME_EMAIL": ""}
    site.stack.compose.run("up", "--no-build", "--no-deps", "certs", environment=environment)
    addresses = site.addresses.values()
    assert wait_until(lambda: all(read_certificate(address, site.local) for address in addresses), 10)


@pytest.mark.deployments
def test_the_commands_of_the_page_work(site: Site) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/certificates.md").read_text(), re.DOTALL)
    commands = [line.partition("#")[0].split() for line in "".join(blocks).splitlines()]
    assert len(commands) == 3
    for program, command, *words in commands:
        assert (program, command) == ("docker", "compose")
        site.stack.compose.run(*(words if words[0] != "exec" else ["exec", "--no-TTY", *words[1:]]))


@contextmanager
def run_caddy(stack: StackUnderTest, folder: Path, pebble: str) -> Iterator[str]:
    """Caddy with a certificate of its own from the ACME server of that name; yields the container."""
    caddyfile = folder / "Caddyfile"  # by default Caddy looks every 10 minutes whether a certificate is old
    text = (ROOT / "caddy/Caddyfile").read_text()
    caddyfile.write_text(text.replace("\tpersist_config off", "\tpersist_config off\n\trenew_interval 2s"))
    settings = {"ACME_DIRECTORY": f"https://{pebble}:14000/dir", "ACME_CA": str(folder / "ca.pem")}
    compose = stack.compose.with_settings(settings)
    mount = f"{caddyfile}:/etc/caddy/Caddyfile:ro"
    container = compose.run("run", "--detach", "--no-deps", "--volume", mount, "caddy").split()[-1]
    try:
        assert wait_until(lambda: is_healthy(container), 20), read_logs(container)
        yield container
    finally:
        remove(container)


@pytest.mark.deployments
@pytest.mark.parametrize(("challenge", "ports"), [("http-01", (8080, 9)), ("tls-alpn-01", (9, 8443))])
def test_caddy_gets_its_own(site: Site, tmp_path: Path, challenge: str, ports: tuple[int, int]) -> None:
    """Caddy begins with either challenge, so only one of the two leads to it."""
    name = f"pebble-{ports[0]}"
    with run_pebble(site.stack, tmp_path / "ca.pem", 20, name, *ports) as pebble:
        trusted = make_context(pebble.read_root())
        with run_caddy(site.stack, tmp_path, name) as container:
            address = site.stack.compose.address(container, "edge")
            pebble.point(*NAMES, at=address)
            send_signal(container, "SIGUSR1")  # it has asked before the names led here
            assert wait_until(lambda: read_certificate(address, trusted), 30), read_logs(container)
            assert f'"challenge":"{challenge}"' in read_logs(container)
            assert "zerossl" not in read_logs(container)
            if challenge == "http-01":
                renew_under_load(address, trusted)
        assert "There are now 2 accounts" not in pebble.read_log()


def renew_under_load(address: str, trusted: ssl.SSLContext) -> None:
    """Certificates hold for 20 s here, so Caddy renews them while clients keep connections."""
    first = read_certificate(address, trusted)
    with KeptConnections(address, trusted, CLIENTS) as load:
        assert wait_until(lambda: read_certificate(address, trusted) not in (b"", first), 40)
        assert wait_until(lambda: load.answers["200"] > REQUESTS, 60)
    assert set(load.answers) == {"200"}, dict(load.answers)
