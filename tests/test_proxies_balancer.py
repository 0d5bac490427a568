"""Load balancers in front of the proxies: who is in TRUSTED_PROXIES names the client and its scheme. Nobody else does.

This host is the balancer: the test asks a second container of each proxy, which trusts the host's address in the edge
network. In the app's network the host has another address, which nobody trusts.
"""

import base64
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from stack import proxies
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, list_containers, read_logs
from tests.support.stack import ADMIN, StackUnderTest

CLIENT, OTHER = "203.0.113.9", "203.0.113.10"  # clients of the balancer, on the internet
INSIDE = "10.1.2.3"  # a client that ADMIN_ALLOW lets in
SECOND = "198.51.100.7"  # one more balancer, in front of the first one
CHAIN = f"6.6.6.6, {CLIENT}, {SECOND}"  # what the client wrote, the client, and the second balancer
PASSWORD = "Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()
REDIRECTED = (301, 308)
LOGS_THE_LIST = {"traefik"}  # in place of the client: no setting changes its ClientHost
# The forms in which balancers write the client. A proxy that does not read a form refuses it.
WITH_PORT, V6_WITH_PORT = f"{CLIENT}:4711", "[2001:db8::9]:4711"
ENTRIES = {CLIENT: CLIENT, "2001:db8::9": "2001:db8::9", WITH_PORT: CLIENT, V6_WITH_PORT: "2001:db8::9"}
UNREAD = {(proxy, V6_WITH_PORT) for proxy in ("caddy", "apache", "traefik", "haproxy")}
UNREAD |= {(proxy, WITH_PORT) for proxy in ("apache", "traefik")}
READS_PAST = {"caddy"}  # what is no address before a second balancer's entry
Reply = tuple[int, str]  # the status and the body


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str) -> Reply:
    """One request as a balancer sends it. A name's underscores are hyphens."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers={"Host": SITE, **fields})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Peer:
    """This host, as a peer of the proxy at `address`, which is in one of the two networks."""

    def __init__(self, stack: StackUnderTest, address: str) -> None:
        self.stack, self.address = stack, address
        with socket.create_connection((address, 8080), timeout=10) as connection:
            self.own_address: str = connection.getsockname()[0]

    def over_tls(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """One request to the port of https."""
        return ask(self.stack.connection(self.address), path, method, **headers)

    def plain(self, path: str, **headers: str) -> Reply:
        """One request to the port of http."""
        return ask(http.client.HTTPConnection(self.address, 8080, timeout=20), path, **headers)


@pytest.fixture(scope="module")
def trusting_app(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """An app that knows the same balancers as the proxies."""
    stack.serve("granian", "asgi", TRUSTED_PROXIES=f"{stack.gateway()} 198.51.100.0/24")
    yield stack
    stack.change({"TRUSTED_PROXIES": ""})
    stack.serving = None


def test_a_balancer_names_the_client(trusting_app: StackUnderTest, proxy: str) -> None:
    stack = trusting_app
    edge, backend = stack.network("edge"), stack.network("backend")
    with stack.variant(
        proxy, TRUSTED_PROXIES=f"{stack.gateway()} 198.51.100.0/24", LOGIN_RATE="1", HTTPS_PORT="443"
    ) as address:
        containers = list_containers(stack.compose.project, proxy)
        (container,) = (each for each in containers if address_in(each, edge) == address)
        balancer, stranger = Peer(stack, address), Peer(stack, address_in(container, backend))
        check_client(balancer)
        check_scheme(balancer)
        check_access(balancer)
        check_port(balancer)
        check_unreadable(balancer, proxy)
        check_stranger(stranger)
        if (proxy, proxies.RATE_LIMIT) not in proxies.LACKS:
            check_rate(balancer, stranger)
        logged = wait_until(lambda: [line for line in read_logs(container).splitlines() if "/request" in line])
        assert any(f'"{CLIENT}"' in line for line in logged) == (proxy not in LOGS_THE_LIST)


def check_client(balancer: Peer) -> None:
    """The application sees the client and nothing of the list."""
    for send, scheme in ((balancer.over_tls, ""), (balancer.over_tls, "https"), (balancer.plain, "https")):
        more = {"X_Forwarded_Proto": scheme} if scheme else {}
        status, body = send("/request", X_Forwarded_For=CHAIN, X_Real_IP="6.6.6.6", X_Forwarded_Host="evil", **more)
        assert status == 200, (send, scheme)
        seen = json.loads(body)
        assert (seen["client"][0], seen["scheme"]) == (CLIENT, "https")
        assert seen["headers"]["x-forwarded-for"] == seen["headers"]["x-real-ip"] == CLIENT
        assert "6.6.6.6" not in body and "evil" not in body
    # Without a list, the balancer is the client.
    assert json.loads(balancer.over_tls("/request")[1])["client"][0] == balancer.own_address


def check_scheme(balancer: Peer) -> None:
    """The scheme is that of the balancer's client. Where the balancer says nothing, it is the balancer's own."""
    assert balancer.plain("/request", X_Forwarded_For=CHAIN)[0] in REDIRECTED
    assert balancer.plain("/request", X_Forwarded_For=CHAIN, X_Forwarded_Proto="http")[0] in REDIRECTED
    assert balancer.over_tls("/request", X_Forwarded_For=CHAIN, X_Forwarded_Proto="http")[0] in REDIRECTED


def check_access(balancer: Peer) -> None:
    """ADMIN_ALLOW and the account are asked of the client."""
    for chain, status in ((CLIENT, 403), (CHAIN, 403), (f"{INSIDE}, {CLIENT}", 403), (INSIDE, 200)):
        assert balancer.over_tls("/admin/x", X_Forwarded_For=chain, Authorization=PASSWORD)[0] == status, chain
    assert balancer.plain("/admin/x", X_Forwarded_For=INSIDE, X_Forwarded_Proto="https")[0] == 401
    assert (
        balancer.plain("/admin/x", X_Forwarded_For=CHAIN, X_Forwarded_Proto="https", Authorization=PASSWORD)[0] == 403
    )


def check_port(balancer: Peer) -> None:
    """The redirect names the port that clients use, and none where that is 443 (PUBLIC_PORT)."""
    connection = http.client.HTTPConnection(balancer.address, 8080, timeout=20)
    connection.request("GET", "/a?b", headers={"Host": SITE, "X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "http"})
    assert connection.getresponse().headers["Location"] == f"https://{SITE}/a?b"
    connection.close()


def test_the_public_port_is_told_to_every_proxy_and_published_by_none(trusting_app: StackUnderTest) -> None:
    compose = trusting_app.compose
    services = compose.with_settings({"PUBLIC_PORT": "443"}).services
    for proxy in trusting_app.proxies:
        assert services[proxy]["environment"]["HTTPS_PORT"] == "443"
        assert services[proxy]["ports"] == compose.services[proxy]["ports"]


def check_unreadable(balancer: Peer, proxy: str) -> None:
    """A balancer's last entry is no address: nobody is let in, neither as an earlier entry nor as the balancer."""
    admin = {"path": "/admin/x", "Authorization": PASSWORD}
    for entry in ("unknown", "_hidden", "-", "dead", "client.example", "unix:", "10.1.2.3 x"):
        for request in (admin, {"path": "/request"}):
            for chain in (entry, f"{INSIDE}, {entry}", f"{INSIDE},{entry}"):
                assert balancer.over_tls(**request, X_Forwarded_For=chain)[0] == 400, (request, chain)
    if proxy not in READS_PAST:
        assert balancer.over_tls(**admin, X_Forwarded_For=f"{INSIDE}, unknown, {SECOND}")[0] in (400, 403)
    for entry, client in ENTRIES.items():
        status, body = balancer.over_tls("/request", X_Forwarded_For=f"unknown, {INSIDE}, {entry}")
        assert status == 400 if (proxy, entry) in UNREAD else json.loads(body)["client"][0] == client, entry
        assert balancer.over_tls(**admin, X_Forwarded_For=f"{INSIDE}, {entry}")[0] in (400, 403), entry
    assert balancer.over_tls("/request", X_Forwarded_For=SECOND)[0] == 200, "a request of a balancer's own"


def check_stranger(stranger: Peer) -> None:
    """From any other peer the headers count for nothing."""
    status, body = stranger.over_tls("/request", X_Forwarded_For=CHAIN, X_Forwarded_Proto="http", X_Real_IP=CLIENT)
    assert (status, json.loads(body)["client"][0]) == (200, stranger.own_address)
    assert CLIENT not in body and json.loads(body)["scheme"] == "https"
    assert stranger.plain("/request", X_Forwarded_For=CHAIN, X_Forwarded_Proto="https")[0] in REDIRECTED
    assert stranger.over_tls("/admin/x", X_Forwarded_For=CLIENT, Authorization=PASSWORD)[0] == 200


def check_rate(balancer: Peer, stranger: Peer) -> None:
    """Each client of the balancer has a rate of logins. A stranger has one, whatever it writes."""
    many = range(30)
    assert 429 in [balancer.over_tls("/login", "POST", X_Forwarded_For=f"{n}.6.6.6, {CLIENT}")[0] for n in many]
    assert balancer.over_tls("/login", "POST", X_Forwarded_For=f"{CLIENT}, {OTHER}")[0] == 422
    assert 429 in [stranger.over_tls("/login", "POST", X_Forwarded_For=f"203.0.113.{n}")[0] for n in many]
