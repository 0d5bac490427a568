"""What the proxies do with a request, each in the same way: hosts, files, methods, streams and limits."""

import gzip
import re
import socket
import ssl
import time
from contextlib import ExitStack

import pytest

from apps import contract
from stack import ROOT, proxies
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.stack import PROXIES, StackUnderTest
from tools import sizes

pytestmark = pytest.mark.usefixtures("any_app")


@pytest.mark.duty("HTTP/3")
def test_alt_svc_names_the_published_port(stack: StackUnderTest, proxy: str) -> None:
    offer = stack.get(proxy, "/", "2").headers["alt-svc"]
    assert re.fullmatch(rf'h3=":{stack.https_port(proxy)}"; ma=\d{{5,}}', offer), offer


def ask_for_host(stack: StackUnderTest, proxy: str, host: str) -> list[bytes]:
    """What a proxy answers to a request for a host, over TLS and on the port of the redirect."""
    request = f"GET /request HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stack.http_port(proxy)), timeout=5) as plain:
        plain.sendall(request)
        return [stack.raw(proxy, request), plain.recv(65536)]


@pytest.mark.duty("no answer to unknown hosts")
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", ""])
def test_an_unknown_host_gets_no_answer(stack: StackUnderTest, proxy: str, host: str) -> None:
    for answer in ask_for_host(stack, proxy, host):
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer[:200]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost@evil.example", ""])
def test_an_unknown_host_reaches_no_application(stack: StackUnderTest, proxy: str, host: str) -> None:
    for answer in ask_for_host(stack, proxy, host):
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ")), answer[:200]
        assert b"no such" not in answer, "the application answered, not the proxy"


@pytest.mark.parametrize("port", ["x", "8443.evil.example"])
def test_a_port_that_is_no_number_reaches_no_application(
    stack: StackUnderTest, any_app: None, proxy: str, port: str
) -> None:
    request = f"GET /request HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    answer = stack.raw(proxy, request.encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    for host in ("localhost", "localhost:8443"):
        assert stack.raw(proxy, request.encode().replace(f"localhost:{port}".encode(), host.encode())).startswith(
            b"HTTP/1.1 200 "
        )


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


@pytest.mark.full
def test_an_upgrade_to_h2c_never_reaches_the_app(stack: StackUnderTest, proxy: str) -> None:
    stack.serve("hypercorn", "asgi")
    request = (
        "GET /process HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade, HTTP2-Settings\\r\\n"
        "Upgrade: h2c\\r\\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\\r\\n\\r\\n"
    )
    # Without a proxy the server accepts the tunnel, so the proxies have something to guard against.
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
    assert b"no such method here" not in answer, "the application answered, not the proxy"


def half_a_post(host: str) -> str:
    """A POST of which the body is not complete, with its line ends as a Python literal writes them."""
    return f"POST /upload HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Length: 100\\r\\n\\r\\nx"


@pytest.mark.full
def test_a_slow_client_does_not_hold_a_worker(stack: StackUnderTest, proxy: str) -> None:
    stack.serve("gunicorn-sync", "wsgi")
    # Without a proxy, two clients that send half a body each hold both workers, and a third client gets no answer.
    without_proxy = stack.in_app(
        "import socket\n"
        "slow = [socket.create_connection(('127.0.0.1', 8000)) for _ in range(2)]\n"
        f"[s.sendall(b'{half_a_post('localhost')}') for s in slow]\n"
        "third = socket.create_connection(('127.0.0.1', 8000)); third.settimeout(3)\n"
        "third.sendall(b'GET /live HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "try: print(third.recv(15))\n"
        "except TimeoutError: print('no answer')\n"
    )
    assert without_proxy == "no answer"
    wait_until(lambda: stack.get(proxy, "/live").status_code == 200)
    body = half_a_post(SITE).encode().decode("unicode_escape").encode()
    slow = []
    try:
        for _ in range(4):
            plain = socket.create_connection(("127.0.0.1", stack.https_port(proxy)), timeout=10)
            slow.append(stack.tls().wrap_socket(plain, server_hostname=SITE))
            slow[-1].sendall(body)
        time.sleep(0.5)  # the proxy has them now, and would have sent them on to the workers if it did not wait
        began = time.monotonic()
        assert stack.get(proxy, "/live").status_code == 200
        assert time.monotonic() - began < 2
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.full
def test_a_client_that_stops_in_its_headers_is_let_go(stack: StackUnderTest) -> None:
    # Every proxy at once, because a proxy takes ten seconds. So the table of lacks is read here and not by the mark.
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
    assert arrivals[-1] - arrivals[0] > 0.6, "the events came together, at the end"


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


def test_a_body_over_the_limit_is_refused(stack: StackUnderTest, proxy: str, version: str) -> None:
    limit, excess = contract.BODY, sizes.OVER_LIMITS[proxy][sizes.BODY]
    allowed = stack.request(proxy, "POST", "/upload", version, data=b"x" * limit)
    assert (allowed.status_code, allowed.json()["bytes"]) == (200, limit)
    # Only one byte too many, because a proxy that refuses does not read on. A client that still sends may meet a closed
    # connection before it reads the refusal. Over HTTP/1.1 a refusal closes the connection, so the client asks first.
    if version != "1.1":
        assert stack.request(proxy, "POST", "/upload", version, data=b"x" * (limit + 1)).status_code == excess.status
        return
    head = f"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {limit + 1}\r\nExpect: 100-continue\r\n\r\n"
    with stack.socket(proxy) as connection:
        connection.sendall(head.encode())
        answer, sent = b"", False
        while not re.search(rb"HTTP/1.1 [2-5]", answer) and (piece := connection.recv(65536)):
            answer += piece
            if b"HTTP/1.1 100 " in answer and not sent:  # this proxy counts what comes, and not what was announced
                sent = True
                connection.sendall(b"x" * (limit + 1))
    assert b"HTTP/1.1 %d " % excess.status in answer, answer[:200]


def ask_with(stack: StackUnderTest, proxy: str, path: str, headers: str = "") -> int:
    """The status for a request with these headers."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    return int(stack.raw(proxy, head.encode()).split()[1])


def test_a_head_over_the_limit_is_refused(stack: StackUnderTest, proxy: str) -> None:
    line, header = (sizes.OVER_LIMITS[proxy][limit] for limit in (sizes.LINE, sizes.HEADER))
    assert ask_with(stack, proxy, f"/live?{'a' * (contract.LINE - 50)}") == 200
    assert ask_with(stack, proxy, f"/live?{'a' * line.amount}") == line.status
    assert ask_with(stack, proxy, "/live", f"X-Large: {'a' * contract.HEADER}\r\n") == 200
    assert ask_with(stack, proxy, "/live", f"X-Large: {'a' * header.amount}\r\n") == header.status
    together = sizes.OVER_LIMITS[proxy].get(sizes.ALL_HEADERS, sizes.Excess(40_000, 200))
    headers = "".join(f"X-Large-{number}: {'a' * (together.amount // 4)}\r\n" for number in range(4))
    assert ask_with(stack, proxy, "/live", headers) == together.status


def test_too_many_headers_are_refused(stack: StackUnderTest, proxy: str) -> None:
    # Caddy and Traefik do not count headers. There, granian refuses them.
    limit = sizes.OVER_LIMITS[proxy].get(sizes.HEADERS, sizes.Excess(95, 431))
    headers = "".join(f"X-Many-{number}: m\r\n" for number in range(limit.amount))
    assert ask_with(stack, proxy, "/live", headers) == limit.status


def test_a_reply_head_over_the_limit_is_refused(stack: StackUnderTest, proxy: str) -> None:
    limit = sizes.OVER_LIMITS[proxy].get(sizes.REPLY_HEAD, sizes.Excess(60_000, 200))
    assert ask_with(stack, proxy, f"/head/{limit.amount}") == limit.status
    assert ask_with(stack, proxy, "/live") == 200


def test_a_body_of_exactly_the_limit_passes(stack: StackUnderTest, any_app: None, proxy: str) -> None:
    megabyte = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + 10 * megabyte + b"0\r\n\r\n"
    announced = b"Content-Length: 10485760\r\n\r\n" + b"x" * 10485760
    for body in (announced, chunked):
        answer = stack.raw(proxy, b"POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]


def test_a_body_without_a_length_has_the_same_limit(stack: StackUnderTest, proxy: str) -> None:
    # The chunks are well over the limit. A proxy that refuses does not read on, so sending may fail.
    megabyte = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    with stack.socket(proxy) as connection:
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = b""
        try:
            for _ in range(12):
                connection.sendall(megabyte)
            connection.sendall(b"0\r\n\r\n")
            answer = connection.recv(65536)
        except (ConnectionError, ssl.SSLError):
            pass
    # Apache counts such a body only while it writes the body to a file, and answers 500 when that fails.
    refused = b"HTTP/1.1 500 " if proxy == "apache" else b"HTTP/1.1 413 "
    assert answer == b"" or answer.startswith(refused), answer[:200]
    assert stack.get(proxy, "/live").status_code == 200
