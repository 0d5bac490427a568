"""How the proxies speak TLS and HTTP/3: the redirect, the certificate, the versions, and HSTS."""

import os
import socket
import ssl
from typing import Any

import pytest

from stack.one_request import request_status
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.stack import PROXIES, StackUnderTest

pytestmark = pytest.mark.usefixtures("any_app")
# The status of a static file where there is no app, by proxies that serve no files themselves.
FILE_WITHOUT_APP = {"traefik": "502", "haproxy": "503"}


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


def public_status(public: StackUnderTest, proxy: str) -> str:
    """The status of a static file under the site's public name."""
    return request_status(
        "127.0.0.1", public.https_port(proxy), "www.shop.example", "/static/hello.txt", public.ca.read_text()
    )


@pytest.mark.full
def test_hsts_is_for_public_names_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    public = StackUnderTest(
        f"public-{os.getpid()}", tmp_path_factory.mktemp("public"), DOMAIN="shop.example www.shop.example"
    )
    try:
        public.start_proxies()
        for proxy in PROXIES:
            status = FILE_WITHOUT_APP.get(proxy, "200")
            assert wait_until(lambda proxy=proxy, status=status: public_status(public, proxy) == status, 20), proxy
            with socket.create_connection(("127.0.0.1", public.https_port(proxy)), timeout=10) as plain:
                with public.tls().wrap_socket(plain, server_hostname="www.shop.example") as secure:
                    secure.sendall(
                        b"GET /static/hello.txt HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n"
                    )
                    answer = b"".join(iter(lambda: secure.recv(65536), b""))
            assert answer.split()[1] == status.encode(), answer[:300]
            assert b"strict-transport-security: max-age=63072000\r\n" in answer.lower()
    finally:
        public.stop()


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
