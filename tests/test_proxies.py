"""What the proxies do to a request, each the same."""

import gzip
import json
import os
import re
import socket
import ssl
import time
import uuid
from contextlib import ExitStack
from typing import Any

import pytest

from stack import ROOT, proxies
from stack.readiness import request_status
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import docker
from tests.support.stack import IMAGES, PROXIES, StackUnderTest


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do; a test that needs another serves it."""
    stack.serve("granian", "asgi")


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


def asked_for(stack: StackUnderTest, proxy: str, host: str) -> list[bytes]:
    """What a proxy answers to a request for a host: with TLS, and on the port of the redirect."""
    request = f"GET /request HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stack.http_port(proxy)), timeout=5) as plain:
        plain.sendall(request)
        return [stack.raw(proxy, request), plain.recv(65536)]


@pytest.mark.duty("no answer to unknown hosts")
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", ""])
def test_an_unknown_host_gets_no_answer(stack: StackUnderTest, proxy: str, host: str) -> None:
    for answer in asked_for(stack, proxy, host):
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer[:200]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost@evil.example", ""])
def test_an_unknown_host_reaches_no_application(stack: StackUnderTest, proxy: str, host: str) -> None:
    for answer in asked_for(stack, proxy, host):
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), answer[:200]
        assert b"no such" not in answer, "the application said so, not the proxy"


def test_a_host_in_the_request_line_does_not_get_around_the_check(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.raw(
        proxy, b"GET http://evil.example/request HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert b"evil" not in answer and not answer.startswith(b"HTTP/1.1 200"), answer[:300]


@pytest.mark.duty("static files")
def test_static_files_come_from_the_proxy(stack: StackUnderTest, proxy: str, version: str) -> None:
    plain = stack.get(proxy, "/static/hello.txt", version, headers={"Accept-Encoding": "identity"})
    assert plain.status_code == 200
    assert plain.content == (ROOT / "apps/static/hello.txt").read_bytes()
    assert plain.headers["cache-control"] == "max-age=3600"
    again = stack.get(
        proxy,
        "/static/hello.txt",
        version,
        headers={"If-None-Match": plain.headers["etag"], "Accept-Encoding": "identity"},
    )
    assert again.status_code == 304
    part = stack.get(proxy, "/static/hello.txt", version, headers={"Range": "bytes=2-7", "Accept-Encoding": "identity"})
    assert (part.status_code, part.content) == (206, b"static")
    small = stack.get(proxy, "/static/hello.txt", version, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content
    assert stack.get(proxy, "/static/nothing", version).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/../etc/passwd",
        "/static../etc/passwd",
        "/static/..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%5c..%5cetc/passwd",
        "/static//../../etc/passwd",
        "/static/%00../etc/passwd",
    ],
)
def test_no_spelling_of_a_path_leaves_the_static_folder(stack: StackUnderTest, proxy: str, path: str) -> None:
    answer = stack.raw(proxy, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b"root:" not in answer
    assert int(answer.split()[1]) in (400, 404), answer[:200]


def test_an_upgrade_to_h2c_never_reaches_the_app(stack: StackUnderTest, proxy: str) -> None:
    stack.serve("hypercorn", "asgi")
    request = (
        "GET /process HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade, HTTP2-Settings\\r\\n"
        "Upgrade: h2c\\r\\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\\r\\n\\r\\n"
    )
    # Alone, the server takes the tunnel: there is something to guard against.
    direct = (
        f"import socket; s = socket.create_connection(('127.0.0.1', 8000)); s.sendall(b'{request}'); print(s.recv(99))"
    )
    assert "101 " in stack.in_app(direct)
    answer = stack.raw(proxy, request.encode().decode("unicode_escape").encode())
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_tunnel_or_reflect_are_refused(stack: StackUnderTest, proxy: str, method: str) -> None:
    target = "localhost:443" if method == "CONNECT" else "/request"
    answer = stack.raw(proxy, f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split()[1:2] in ([b"405"], [b"400"], [b"501"]), answer[:200]
    assert b"no such method here" not in answer, "the application said so, not the proxy"


def half_a_post(host: str) -> str:
    return f"POST /upload HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Length: 100\\r\\n\\r\\nx"


def test_a_slow_client_does_not_hold_a_worker(stack: StackUnderTest, proxy: str) -> None:
    stack.serve("gunicorn-sync", "wsgi")
    # Alone, two clients that send half a body each hold both workers, and a third gets no answer.
    alone = stack.in_app(
        "import socket\n"
        "slow = [socket.create_connection(('127.0.0.1', 8000)) for _ in range(2)]\n"
        f"[s.sendall(b'{half_a_post('localhost')}') for s in slow]\n"
        "third = socket.create_connection(('127.0.0.1', 8000)); third.settimeout(3)\n"
        "third.sendall(b'GET /live HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "try: print(third.recv(15))\n"
        "except TimeoutError: print('no answer')\n"
    )
    assert alone == "no answer"
    wait_until(lambda: stack.get(proxy, "/live").status_code == 200)
    body = half_a_post(SITE).encode().decode("unicode_escape").encode()
    slow = []
    try:
        for _ in range(4):
            plain = socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=10)
            slow.append(stack.tls().wrap_socket(plain, server_hostname=SITE))
            slow[-1].sendall(body)
        time.sleep(0.5)  # they are in the proxy now, and would be in the workers were they passed on
        began = time.monotonic()
        assert stack.get(proxy, "/live").status_code == 200
        assert time.monotonic() - began < 2
    finally:
        for one in slow:
            one.close()


def test_a_client_that_stops_in_its_headers_is_let_go(stack: StackUnderTest) -> None:
    # All at once: it takes ten seconds. So what a proxy lacks is asked here, not by the mark.
    patient = {name for name, duty in proxies.LACKS if duty == "a time for the head"}
    with ExitStack() as sockets:
        opened = {proxy: sockets.enter_context(stack.socket(proxy)) for proxy in PROXIES}
        began = time.monotonic()
        for connection in opened.values():
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            connection.settimeout(20)
        for proxy in opened.keys() - patient:
            assert b"200 OK" not in opened[proxy].recv(65536), proxy
            assert 8 < time.monotonic() - began < 15, proxy
        for proxy in opened.keys() & patient:
            opened[proxy].settimeout(1)
            with pytest.raises(TimeoutError):
                opened[proxy].recv(65536)


def test_events_arrive_one_by_one(stack: StackUnderTest, proxy: str, version: str) -> None:
    headers = {"Accept-Encoding": "gzip", "Accept": "text/event-stream"}
    answer = stack.get(proxy, "/events/4?pause=300", version, stream=True, headers=headers)
    assert answer.headers["content-type"] == "text/event-stream"
    assert "content-encoding" not in answer.headers
    arrivals, seen = [], b""
    for piece in answer.iter_content(None):
        if piece:
            seen += piece
            arrivals.append(time.monotonic())
    assert seen.count(b"data: event") == 4
    assert arrivals[-1] - arrivals[0] > 0.6, "they came together, at the end"


def test_text_is_compressed_where_the_client_can_read_it(stack: StackUnderTest, proxy: str) -> None:
    text = "a line\n" * 1000
    with_gzip = {"Accept-Encoding": "gzip", "Content-Type": "text/plain"}
    small = stack.request(proxy, "POST", "/echo", data=text, headers=with_gzip, stream=True)
    assert small.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in small.headers["vary"].lower()
    assert small.raw
    raw = small.raw.read(decode_content=False)
    assert len(raw) < 1000 and gzip.decompress(raw).decode() == text
    for headers in (with_gzip | {"Accept-Encoding": "identity"}, with_gzip | {"Content-Type": "image/png"}):
        plain = stack.request(proxy, "POST", "/echo", data=text, headers=headers)
        assert "content-encoding" not in plain.headers
        assert plain.text == text


def test_security_headers_are_on_every_reply(stack: StackUnderTest, proxy: str, version: str) -> None:
    for path in ("/", "/status/500", "/nowhere", "/static/hello.txt", "/static/nothing"):
        headers = stack.get(proxy, path, version).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin", path
        assert "strict-transport-security" not in headers, "a developer's localhost must not be ruled by HSTS"


def public_status(public: StackUnderTest, proxy: str) -> str:
    return request_status(
        "127.0.0.1", public.https_port(proxy), "www.shop.example", "/static/hello.txt", public.ca.read_text()
    )


def test_hsts_is_for_public_names_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    public = StackUnderTest(
        f"public-{os.getpid()}", tmp_path_factory.mktemp("public"), DOMAIN="shop.example www.shop.example"
    )
    try:
        public.start_proxies()
        for proxy in PROXIES:
            # There is no application: who serves no files itself says so.
            status = {"traefik": "502", "haproxy": "503"}.get(proxy, "200")
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


@pytest.mark.duty("HTTP/3")
def test_alt_svc_names_the_published_port(stack: StackUnderTest, proxy: str) -> None:
    said = stack.get(proxy, "/", "2").headers["alt-svc"]
    assert re.fullmatch(rf'h3=":{stack.https_port(proxy)}"; ma=\d{{5,}}', said), said


def test_a_body_over_the_limit_is_refused(stack: StackUnderTest, proxy: str, version: str) -> None:
    limit = 10 * 2**20
    allowed = stack.request(proxy, "POST", "/upload", version, data=b"x" * limit)
    assert (allowed.status_code, allowed.json()["bytes"]) == (200, limit)
    # One byte more, not many: a proxy that refuses does not read on, and a client that is still sending may meet a
    # closed connection before it has read why. Over HTTP/1.1 the client asks first, where a refusal closes it.
    if version != "1.1":
        assert stack.request(proxy, "POST", "/upload", version, data=b"x" * (limit + 1)).status_code == 413
        return
    head = f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {limit + 1}\r\nExpect: 100-continue\r\n\r\n"
    with stack.socket(proxy) as connection:
        connection.sendall(head.encode())
        said, asked_for_it = b"", False
        while not re.search(rb"HTTP/1.1 [2-5]", said) and (piece := connection.recv(65536)):
            said += piece
            if b"HTTP/1.1 100 " in said and not asked_for_it:  # it goes by what comes, not by what is said to come
                asked_for_it = True
                connection.sendall(b"x" * (limit + 1))
    assert b"HTTP/1.1 413 " in said, said[:200]


# What each proxy says to a head that is too large, by its own limits: the line and a header, of as many bytes.
TOO_LARGE = {
    "nginx": (9_000, 414, 400),
    "caddy": (40_000, 431, 431),
    "apache": (9_000, 414, 400),
    "traefik": (40_000, 431, 431),
    "haproxy": (40_000, 414, 431),
}


@pytest.mark.parametrize("part", ["line", "header"])
def test_a_head_over_the_limit_is_refused(stack: StackUnderTest, proxy: str, part: str) -> None:
    size, *refusals = TOO_LARGE[proxy]

    def status(count: int) -> int:
        query, header = ("a" * count, "") if part == "line" else ("", "a" * count)
        head = f"GET /live?{query} HTTP/1.1\r\nHost: localhost\r\nX-Large: {header}\r\nConnection: close\r\n\r\n"
        return int(stack.raw(proxy, head.encode()).split()[1])

    assert status(7_000) == 200
    assert status(size) == refusals[part == "header"]


def test_a_body_without_a_length_has_the_same_limit(stack: StackUnderTest, proxy: str) -> None:
    # In chunks, well over the limit; who refuses does not read on, so sending may fail.
    megabyte = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    with stack.socket(proxy) as connection:
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        said = b""
        try:
            for _ in range(12):
                connection.sendall(megabyte)
            connection.sendall(b"0\r\n\r\n")
            said = connection.recv(65536)
        except (ConnectionError, ssl.SSLError):
            pass
    # Apache measures such a body in the file where it waits, and cannot call that by its name.
    refused = b"HTTP/1.1 500 " if proxy == "apache" else b"HTTP/1.1 413 "
    assert said == b"" or said.startswith(refused), said[:200]
    assert stack.get(proxy, "/live").status_code == 200


def test_the_access_log_is_json_and_a_client_writes_no_line_of_it(stack: StackUnderTest, proxy: str) -> None:
    name = uuid.uuid4().hex
    stack.get(proxy, f"/nowhere?q=%22%0a&{name}", headers={"User-Agent": 'a"\\b\t{"status":200}'})
    line = wait_until(lambda: [one for one in stack.log_lines(proxy) if name in json.dumps(one)])
    assert len(line) == 1
    assert 404 in (line[0].get("status"), line[0].get("DownstreamStatus"))
    assert stack.gateway() in json.dumps(line[0]), "the client's address"


@pytest.mark.duty("request id")
def test_the_access_log_is_json_and_carries_the_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/nowhere?q=%22%0a", headers={"User-Agent": 'a"\\b'})
    name = answer.headers["x-request-id"]
    seen = stack.get(proxy, "/request").json()
    line = wait_until(lambda: [one for one in stack.log_lines(proxy) if name in (one.get("id"), one.get("uuid"))])
    assert len(line) == 1 and line[0]["status"] == 404
    assert 'a"\\b' in json.dumps(line[0], ensure_ascii=False).replace("\\\\", "\\").replace('\\"', '"')
    assert seen["headers"]["x-request-id"] != name


def test_a_client_cannot_choose_the_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/request", headers={"X-Request-ID": "chosen-by-the-client"})
    assert "chosen" not in json.dumps(answer.json()) and "chosen" not in str(answer.headers)


@pytest.mark.duty("request id")
def test_every_reply_has_a_request_id(stack: StackUnderTest, proxy: str, version: str) -> None:
    for path in ("/", "/status/500", "/nowhere", "/static/hello.txt", "/static/nothing"):
        assert len(stack.get(proxy, path, version).headers["x-request-id"]) >= 32, path


@pytest.mark.duty("request id")
def test_the_reply_and_the_app_have_the_same_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/request", headers={"X-Request-ID": "chosen-by-the-client"})
    assert answer.json()["headers"]["x-request-id"] == answer.headers["x-request-id"] != "chosen-by-the-client"


def test_one_authority_serves_both_proxies(stack: StackUnderTest, proxy: str) -> None:
    with stack.socket(proxy) as connection:  # verified against the stack's authority, and nothing else
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


def test_each_client_is_seen_by_its_own_address(stack: StackUnderTest, proxy: str) -> None:
    # A second client, in a container of its own on the proxies' network: another address than this host's.
    script = (
        "import http.client, json, socket, ssl\n"
        f"context = ssl.create_default_context(cadata={stack.ca.read_text()!r})\n"
        f"c = http.client.HTTPSConnection('{proxy}', 8443, context=context); c.request('GET', '/request')\n"
        "mine = c.sock.getsockname()[0]; print(json.dumps([mine, json.load(c.getresponse())['client'][0]]))\n"
    )
    command = [
        "run",
        "--rm",
        "--network",
        f"{stack.compose.project}_edge",
        "--entrypoint",
        "python3",
        f"{IMAGES}-app",
        "-c",
        script,
    ]
    own, seen = json.loads(docker(*command))
    assert seen == own != stack.gateway()


def test_the_app_is_reached_through_the_proxies_only(stack: StackUnderTest) -> None:
    assert stack.compose.inspect(stack.app(), "{{json .HostConfig.PortBindings}}") in ("{}", "null")
    networks = json.loads(stack.compose.inspect(stack.app(), "{{json .NetworkSettings.Networks}}"))
    assert list(networks) == [f"{stack.compose.project}_backend"]
    assert docker("network", "inspect", f"{stack.compose.project}_backend", "--format", "{{.Internal}}") == "true"
