"""Request bodies at every proxy: what is refused, what follows a refused body, and the limit to the byte."""

import http.client
import re
import select
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import niquests
import pytest

from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import client, read_logs, remove, run_detached
from tests.support.stack import IMAGES, PROXIES, StackUnderTest

LIMIT = 10 * 2**20
START = f"HTTP/1.1\r\nHost: {SITE}\r\n"
LAST = f"POST /keep/last HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()


def repeat(line: bytes, size: int) -> bytes:
    return line * (size // len(line))


# What a body holds, as a function of a request line by line. The lines must stay a part of the body.
Fill = Callable[[bytes], bytes]
ANNOUNCED: dict[str, Fill] = {
    "over the limit": lambda line: bytes(LIMIT) + repeat(line, 900_000),
    "a little over the limit": lambda line: bytes(LIMIT) + line,
    "large": lambda line: repeat(line, 2**20),
    "small": lambda line: repeat(line, 65_536),
}
CHUNKED: dict[str, Fill] = {
    "over the limit": lambda line: b"b00000\r\n" + bytes(LIMIT) + repeat(line, 2**20),
    "malformed at once": lambda line: b"ZZ\r\n" + line * 100,
    "malformed": lambda line: b"5\r\nhello\r\nZZ\r\n" + line * 100,
    "malformed after 3 MB": lambda line: b"2dc6c0\r\n" + bytes(3_000_000) + b"\r\nZZ\r\n" + line * 100,
}
# A target, and the status by which every proxy refuses it without its body.
REFUSED = {"POST /a/../b": "400", "POST /admin/x": "401", "TRACE /": "405"}


def list_attacks() -> Iterator[tuple[str, str, Fill]]:
    """A name, the head of a request without its length, and the body that is refused or breaks."""
    for expect in ("", "Expect: 100-continue\r\n"):
        for name in ("over the limit", "a little over the limit"):
            yield f"{name} {expect}", f"POST /upload {START}{expect}", ANNOUNCED[name]
        for target in REFUSED:
            for name in ("large", "small"):
                yield f"{target} {name} {expect}", f"{target} {START}{expect}", ANNOUNCED[name]
    for method in ("POST", "GET"):
        for name, fill in CHUNKED.items():
            yield f"{method} chunks {name}", f"{method} /request {START}Transfer-Encoding: chunked\r\n", fill
    yield "GET over the limit", f"GET / {START}", ANNOUNCED["over the limit"]
    for target in REFUSED:
        yield f"{target} chunks", f"{target} {START}Transfer-Encoding: chunked\r\n", CHUNKED["malformed at once"]


def send_all(stack: StackUnderTest, proxy: str, request: bytes) -> bytes:
    """All that a proxy answers while the client sends, and until the proxy closes or nothing moves for a second.

    One thread does both, because Python crashes where two threads use one TLS connection.
    """
    answer, rest = b"", memoryview(request)
    with stack.socket(proxy) as connection:
        connection.setblocking(False)
        moved_at = time.monotonic()
        while time.monotonic() < moved_at + 1:
            before = len(answer), len(rest)
            select.select([connection], [connection] if rest else [], [], 0.05)
            try:
                rest = rest[connection.send(rest[:65536]) :] if rest else rest
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError:
                rest = rest[:0]  # the proxy takes no more, but its answer may be on the way
            try:
                piece = connection.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                piece = None
            except OSError:
                break
            if piece == b"":
                break
            answer += piece or b""
            if (len(answer), len(rest)) != before:
                moved_at = time.monotonic()
    return answer


def count_kept(container: str, word: str) -> int:
    return len(re.findall(rf"kept: {word}\b", read_logs(container)))


@pytest.mark.usefixtures("any_app")
def test_what_follows_a_refused_body_is_no_request(stack: StackUnderTest, proxy: str) -> None:
    """The rest of a body that is refused, or that breaks, is full of requests. None may reach the application."""
    run = uuid.uuid4().hex[:8]
    line = f"POST /keep/{run} HTTP/1.1\r\nHost: {SITE}\r\nContent-Length: 0\r\n\r\n".encode()
    for name, head, fill in list_attacks():
        body = fill(line)
        length = "" if "Transfer-Encoding" in head else f"Content-Length: {len(body)}\r\n"
        answer = send_all(stack, proxy, f"{head}{length}\r\n".encode() + body + LAST)
        statuses = re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", answer)
        assert len(statuses) <= 2 and statuses[1:] in ([], [b"200"]), (name, statuses[:9])
    assert stack.request(proxy, "POST", f"/keep/{run}-end").status_code == 200
    assert wait_until(lambda: count_kept(stack.app(), f"{run}-end") == 1, 5)
    assert count_kept(stack.app(), f"{run}:") == 0


# A server that answers without reading, and keeps the connection open. It counts the requests for other paths.
EARLY = r"""
import socket, threading, time
def answer(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1000)
    early = b"/early" in head.split(b"\r\n")[0]
    print("early" if early else "asked: " + head.split(b" ")[1].decode(), flush=True)
    connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % (b"401 No" if early else b"200 OK"))
    time.sleep(1 if early else 0)
    connection.close()
listener = socket.create_server(("0.0.0.0", 8000), backlog=64)
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],)).start()
"""


@pytest.mark.full
def test_an_early_answer_smuggles_nothing(stack: StackUnderTest) -> None:
    """An application that answers before it reads. The rest of the body holds requests at every likely place."""
    stack.serve("granian", "asgi")
    stack.serving = None
    remove(stack.app())
    early = run_detached(f"{IMAGES}-app", "python3", "-c", EARLY, labels={f"{LABEL}.project": stack.compose.project})
    try:
        client().api.connect_container_to_network(early, stack.network("backend"), aliases=[stack.app_name()])
        run = uuid.uuid4().hex[:8]
        start = f"GET /{run} HTTP/1.1\r\nHost: {SITE}\r\nX: ".encode()
        body = (start + b"a" * (1020 - len(start)) + b"\r\n\r\n") * 3000  # a request each 1024 bytes
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

        def attack(proxy: str) -> None:
            live = f"GET / {START}Connection: close\r\n\r\n".encode()
            assert wait_until(lambda: b" 200 " in send_all(stack, proxy, live), 10), proxy
            for method in ("POST", "GET"):
                head = f"{method} /early {START}".encode()
                send_all(stack, proxy, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                send_all(stack, proxy, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)

        with ThreadPoolExecutor(len(PROXIES)) as threads:
            list(threads.map(attack, PROXIES))
        assert f"asked: /{run}" not in read_logs(early)
        assert read_logs(early).count("early") >= 2 * len(PROXIES)
    finally:
        remove(early)


@pytest.mark.usefixtures("any_app")
def test_a_declared_length_over_the_limit_reaches_no_application(stack: StackUnderTest, proxy: str) -> None:
    """The proxy refuses by the head, with any method, before the body and without asking the application."""
    for method in ("POST", "GET"):
        for upgrade in ("", "Upgrade: websocket\r\n", "Upgrade: h2c\r\n"):  # no way around the rules for bodies
            with stack.socket(proxy) as connection:
                head = f"{method} /upload {START}{upgrade}Content-Length: {LIMIT + 1}\r\n\r\n"
                connection.sendall(head.encode())
                status = connection.recv(65536)[:13]
                refusals = (b"HTTP/1.1 413 ", b"HTTP/1.1 400 ") if upgrade else (b"HTTP/1.1 413 ",)
                assert status in refusals, (method, upgrade)


@pytest.mark.usefixtures("any_app")
@pytest.mark.duty("413 for one byte too many without a length")
@pytest.mark.parametrize("protocol", ["1.1", "2"])
def test_one_byte_over_the_limit_is_refused_without_a_length(stack: StackUnderTest, proxy: str, protocol: str) -> None:
    run = uuid.uuid4().hex[:8]

    def send(count: int) -> int | None:
        pieces = (bytes(65536) for _ in range(LIMIT // 65536))
        body = (piece for group in (pieces, [bytes(count)] if count else []) for piece in group)
        try:
            return stack.request(proxy, "POST", f"/keep/{run}-{count}", protocol, data=body).status_code
        except niquests.RequestException:
            return None  # a connection that closes while the client sends

    assert (send(0), send(1) in (413, None)) == (200, True)
    assert count_kept(stack.app(), f"{run}-1:") == 0


@pytest.mark.usefixtures("any_app")
@pytest.mark.duty("413 for a client that sends everything first")
def test_a_client_that_sends_everything_first_reads_413(stack: StackUnderTest, proxy: str) -> None:
    connection = http.client.HTTPSConnection(SITE, stack.https_port(proxy), timeout=20, context=stack.tls())
    status = None
    try:
        connection.request("POST", "/upload", bytes(4 * LIMIT))
        status = connection.getresponse().status
    except OSError:
        pass
    finally:
        connection.close()
    assert status == 413
