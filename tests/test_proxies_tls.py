"""How the proxies speak TLS and HTTP/3: the redirect, the certificate, and the versions."""

import socket
import ssl
from typing import Any

import pytest

from tests.support.clients import SITE
from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.usefixtures("any_app")


def test_http_is_redirected_to_https(stack: StackUnderTest, proxy: str) -> None:
    with socket.create_connection(("127.0.0.1", stack.http_port(proxy)), timeout=5) as plain:
        plain.sendall(
            b"POST /login?a=1 HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 0\r\n\r\n" % stack.http_port(proxy)
        )
        head = plain.recv(65536).decode()
    assert head.startswith("HTTP/1.1 308 ")
    assert f"\r\nlocation: https://localhost:{stack.https_port(proxy)}/login?a=1\r\n" in head.replace(
        "Location", "location"
    )


@pytest.mark.duty("HTTP/3")
def test_http_3_is_offered_and_spoken(stack: StackUnderTest, proxy: str) -> None:
    assert stack.get(proxy, "/live", "2").headers.get("alt-svc", "").startswith("h3=")
    assert stack.get(proxy, "/live", "3").status_code == 200


def test_one_authority_serves_both_proxies(stack: StackUnderTest, proxy: str) -> None:
    with stack.socket(proxy) as connection:  # the client trusts the stack's authority only
        certificate: Any = connection.getpeercert()
    names = {value for _, value in certificate["subjectAltName"]}
    assert {"localhost", "127.0.0.1"} <= names
    stranger = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=5) as plain:
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.wrap_socket(plain, server_hostname=SITE)


def test_the_site_answers_by_address_too(stack: StackUnderTest, proxy: str) -> None:
    # A client that asks for an address sends no server name.
    with socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=10) as plain:
        with stack.tls().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert secure.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_only_modern_tls_is_spoken(stack: StackUnderTest, proxy: str) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = stack.tls()
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=5) as plain:
            assert context.wrap_socket(plain, server_hostname=SITE).version() == version.name.replace("_", ".")
    old = stack.tls()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=5) as plain:
        with pytest.raises(ssl.SSLError) as refused:
            old.wrap_socket(plain, server_hostname=SITE)
    assert "ALERT_PROTOCOL_VERSION" in str(refused.value), "the proxy itself must refuse"
