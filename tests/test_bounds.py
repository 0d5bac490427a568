"""Space and time are bounded for each client: held uploads, slow and pausing readers, silence, and requests at once."""

import base64
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from stack import ROOT
from stack.waiting import wait_until
from tests.support.engine import exec_in, inspect
from tests.support.stack import ADMIN, PROXIES, StackUnderTest

pytestmark = [pytest.mark.usefixtures("any_app"), pytest.mark.full]
MEBIBYTE = 2**20
READ_TIMEOUT = 6  # the least that the proxies accept
REQUESTS = 8  # CLIENT_REQUESTS of the variants
# Seconds of silence: more than READ_TIMEOUT, and more than the 10 s after which a client that sends nothing is let go.
SILENCE = 11.5
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n{more}"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x81\x82\x00\x00\x00\x00hi"  # a text frame, masked with zeros
ECHO = b"\x81\x02hi"


def open_at(stack: StackUnderTest, address: str) -> ssl.SSLSocket:
    """A raw TLS connection to the proxy's container at `address`."""
    connection = stack.connection(address).sock
    assert isinstance(connection, ssl.SSLSocket)
    return connection


def get(path: str) -> bytes:
    """The bytes of a GET, after whose reply the connection closes."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def read_all(connection: socket.socket) -> bytes:
    """All that arrives until the peer closes or resets."""
    answer = bytearray()
    with suppress(ConnectionError, ssl.SSLError):
        while piece := connection.recv(MEBIBYTE):
            answer += piece
    return bytes(answer)


def upgrade(connection: ssl.SSLSocket, path: str, more: str = "") -> bytes:
    """Asks for a WebSocket and returns the head of the answer."""
    connection.sendall(UPGRADE.format(path=path, more=more).encode())
    return connection.recv(4096)


# ---------------------------------------------------------------- one container of each proxy
# (!) These tests come first, because the fixture `variants` starts a second container of each proxy.


def number(path: str, pattern: str) -> int:
    """The number in a configuration file that the pattern finds once, with its unit."""
    ((digits, unit),) = re.findall(rf"^\s*{pattern}\s*(\d+)(k|m|KiB|MiB|)\b", (ROOT / path).read_text(), re.MULTILINE)
    return int(digits) * {"": 1, "k": 1024, "KiB": 1024, "m": MEBIBYTE, "MiB": MEBIBYTE}[unit]


TLS = 64 * 1024  # bytes for the TLS of a connection and the heads of a request
GO = 160 * 1024  # measured: a client that sends slowly, of Caddy or Traefik, with 64 KiB of its body


def count_needed(proxy: str, files: int) -> int:
    """The memory that a proxy may need by its own settings, in bytes. `files` is its limit of open files."""
    nginx, haproxy = "nginx/snippets/buffering.conf", "haproxy/snippets/sections/limits.cfg"
    if proxy == "nginx":
        ((count, size),) = re.findall(r"^proxy_buffers (\d+) (\d+)k;", (ROOT / nginx).read_text(), re.MULTILINE)
        buffers = number(nginx, "client_body_buffer_size") + number(nginx, "proxy_buffer_size")
        return number(nginx, "limit_conn requests") * (buffers + int(count) * int(size) * 1024 + TLS)
    if proxy == "haproxy":
        return number("haproxy/haproxy.cfg", "maxconn") * (2 * number(haproxy, "tune.bufsize") + 40 * 1024)
    if proxy == "apache":  # its threads, and as many for the streams of HTTP/2
        return 2 * number("apache/httpd.conf", "MaxRequestWorkers") * TLS
    # Caddy and Traefik: bytes of a body that wait, for each open file.
    assert number("caddy/snippets/buffering.caddy", "request_buffers") <= 64 * 1024
    assert number("traefik/snippets/buffering.yaml", "hold:\n(?: .*\n)+? +maxRequestBodyBytes:") <= 64 * 1024
    return files * GO


def test_the_limits_of_a_container_hold_what_its_settings_allow(stack: StackUnderTest, proxy: str) -> None:
    host = inspect(stack.container(proxy))["HostConfig"]
    (files,) = (limit["Hard"] for limit in host["Ulimits"] if limit["Name"] == "nofile")
    tmpfs = sum(int(size) * MEBIBYTE for size in re.findall(r"size=(\d+)m", str(host["Tmpfs"])))
    needed = count_needed(proxy, files)
    assert needed + tmpfs <= host["Memory"], f"{needed >> 20} MiB, and {tmpfs >> 20} MiB of tmpfs"
    if proxy == "nginx":
        assert number("nginx/snippets/cache.conf", r"proxy_cache_path .*max_size=") < tmpfs
    # Bodies wait on a volume and not in memory.
    assert "/tmp" not in host["Tmpfs"]


@pytest.mark.parametrize("value", ["", "5", "060", "1;"])
def test_a_read_timeout_that_is_no_number_from_6_is_refused(stack: StackUnderTest, proxy: str, value: str) -> None:
    script = 'start.sh "$@" 2>&1 || true'
    words = stack.compose.check_command(proxy)
    output = exec_in(stack.container(proxy), "env", f"READ_TIMEOUT={value}", "sh", "-c", script, "sh", *words)
    assert f"{proxy}: READ_TIMEOUT={value} is not a number of seconds from 6" in output, output


def test_what_holds_a_body_never_asks_twice(stack: StackUnderTest) -> None:
    # Only Traefik holds a body by the means of a retry (traefik/snippets/buffering.yaml).
    since = time.time()
    assert stack.get("traefik", "/status/599").status_code == 599

    def attempts() -> list[int]:
        lines = stack.log_lines("traefik", since)
        return [line.get("RetryAttempts", 0) for line in lines if line.get("RequestPath") == "/status/599"]

    assert wait_until(attempts) and attempts() == [0]


# ---------------------------------------------------------------- silence


class Quiet(NamedTuple):
    """What a proxy's clients have after a time of silence. `thinking` and `silent` read until the end."""

    websocket: ssl.SSLSocket  # opened before the silence, on a path of its own
    paused: ssl.SSLSocket  # has read the first bytes of 64 MiB before the silence
    thinking: bytes  # the answer where the application says nothing for longer than READ_TIMEOUT
    silent: bytes  # the answer where the application begins a reply, and then says nothing for as long


@pytest.fixture(scope="module")
def variants(stack: StackUnderTest) -> Iterator[dict[str, str]]:
    """The address of one more container of each proxy, with a short READ_TIMEOUT and a small CLIENT_REQUESTS."""
    stack.serve("granian", "asgi")
    settings = {"READ_TIMEOUT": str(READ_TIMEOUT), "CLIENT_REQUESTS": str(REQUESTS)}
    with ExitStack() as containers:
        yield {proxy: containers.enter_context(stack.variant(proxy, **settings)) for proxy in PROXIES}


@pytest.fixture(scope="module")
def quiet(stack: StackUnderTest, variants: dict[str, str]) -> Iterator[dict[str, Quiet]]:
    """All proxies at once, because a silence takes its time."""
    with ExitStack() as sockets:
        opened: dict[str, list[ssl.SSLSocket]] = {}
        for proxy, address in variants.items():
            opened[proxy] = [sockets.enter_context(open_at(stack, address)) for _ in range(4)]
            websocket, paused, thinking, silent = opened[proxy]
            assert b" 101 " in upgrade(websocket, "/a/chat/ws"), proxy
            paused.sendall(get(f"/bytes/{32 * MEBIBYTE}"))
            assert paused.recv(65536).startswith(b"HTTP/1.1 200 "), proxy
            thinking.sendall(get(f"/wait/{(READ_TIMEOUT + 3) * 1000}"))
            silent.sendall(get(f"/events/2?pause={(READ_TIMEOUT + 3) * 1000}"))
        time.sleep(SILENCE)
        yield {
            proxy: Quiet(websocket, paused, read_all(thinking), read_all(silent))
            for proxy, (websocket, paused, thinking, silent) in opened.items()
        }


def test_a_silent_websocket_stays_open_on_any_path(quiet: dict[str, Quiet], proxy: str) -> None:
    websocket = quiet[proxy].websocket
    websocket.sendall(PING)
    assert websocket.recv(100) == ECHO


def test_a_reader_may_pause(quiet: dict[str, Quiet], proxy: str) -> None:
    assert len(read_all(quiet[proxy].paused)) > 31 * MEBIBYTE


def test_read_timeout_is_the_longest_silence_of_the_application(
    stack: StackUnderTest, quiet: dict[str, Quiet], variants: dict[str, str], proxy: str
) -> None:
    assert re.match(rb"HTTP/1.1 50[234] ", quiet[proxy].thinking), quiet[proxy].thinking[:200]
    with open_at(stack, variants[proxy]) as connection:
        connection.sendall(get(f"/wait/{(READ_TIMEOUT - 4) * 1000}"))
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.duty("a limit of silence within a reply")
def test_a_reply_that_falls_silent_is_ended(quiet: dict[str, Quiet], proxy: str) -> None:
    assert quiet[proxy].silent.startswith(b"HTTP/1.1 200 ")
    assert b"event 0" not in quiet[proxy].silent


@pytest.mark.parametrize("path", ["/admin/ws", "/Admin/ws", "/%61dmin/ws", "//admin/ws"])
def test_a_websocket_of_the_admin_area_is_guarded(stack: StackUnderTest, proxy: str, path: str) -> None:
    with stack.socket(proxy) as connection:
        assert b" 101 " not in upgrade(connection, path)
    if path == "/admin/ws":
        account = base64.b64encode(":".join(ADMIN).encode()).decode()
        with stack.socket(proxy) as connection:
            assert b" 101 " in upgrade(connection, path, f"Authorization: Basic {account}\r\n")
            connection.sendall(PING)
            assert connection.recv(100) == ECHO


# ---------------------------------------------------------------- space


HELD = 30


def begin_upload(connection: ssl.SSLSocket, length: str, body: bytes) -> None:
    """Sends an upload to its last byte but one."""
    connection.sendall(f"POST /upload HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode() + body)


def upload(stack: StackUnderTest, proxy: str) -> bytes:
    """The status line of a stranger's upload of 9 MiB."""
    with stack.socket(proxy) as connection:
        begin_upload(connection, f"Connection: close\r\nContent-Length: {9 * MEBIBYTE}", b"x" * 9 * MEBIBYTE)
        return connection.recv(4096).partition(b"\r\n")[0]


def test_held_uploads_harm_nobody_else(stack: StackUnderTest, proxy: str) -> None:
    body = b"x" * (10 * MEBIBYTE - 1)
    uploads = [  # with a length and in chunks: the head, all of the body but its end, and the end
        (f"Content-Length: {10 * MEBIBYTE}", body, b"x"),
        ("Transfer-Encoding: chunked", b"9fffff\r\n" + body, b"\r\n0\r\n\r\n"),
    ]
    with ExitStack() as sockets:
        held = [sockets.enter_context(stack.socket(proxy)) for _ in range(HELD)]
        for turn, connection in enumerate(held):
            begin_upload(connection, *uploads[turn % 2][:2])
        for connection in held:  # nobody was answered: all are held
            connection.settimeout(0.01)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        assert upload(stack, proxy) == b"HTTP/1.1 200 OK"
        for connection, (_, _, end) in zip(held, uploads, strict=False):
            connection.settimeout(20)
            connection.sendall(end)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert stack.get(proxy, "/live").status_code == 200


def test_paused_readers_get_everything(stack: StackUnderTest, proxy: str) -> None:
    # More than the 256 MiB in which NGINX once kept replies.
    with ExitStack() as sockets:
        readers = [sockets.enter_context(stack.socket(proxy)) for _ in range(5)]
        for connection in readers:
            connection.sendall(get(f"/bytes/{64 * MEBIBYTE}"))
        time.sleep(1.5)  # the proxy reads what it can hold
        assert stack.get(proxy, "/live").status_code == 200
        for connection in readers:
            received = 0
            while piece := connection.recv(MEBIBYTE):
                received += len(piece)
            assert received > 64 * MEBIBYTE, f"cut at {received} bytes"


@pytest.mark.duty("a limit for each client")
def test_a_client_gets_its_requests_at_once_and_no_more(
    stack: StackUnderTest, variants: dict[str, str], proxy: str
) -> None:
    address = variants[proxy]
    with ExitStack() as sockets:
        for _ in range(REQUESTS):
            connection = sockets.enter_context(open_at(stack, address))
            connection.sendall(get("/wait/5000"))
        time.sleep(0.5)
        with open_at(stack, address) as connection:
            connection.sendall(get("/live"))
            refused = read_all(connection)
        assert refused.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 429 ")), refused[:200]
    assert stack.get(proxy, "/live").status_code == 200
    # The requests are over when their connections are closed.
    with open_at(stack, address) as connection:
        connection.sendall(get("/live"))
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
