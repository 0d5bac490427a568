"""Request bodies and failing applications at every server: a broken upload, an early answer, an error, header bytes."""

import contextlib
import http.client
import json
import re
import socket
import struct
import uuid

from apps import contract, named_differences
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, read_logs
from tests.support.stack import StackUnderTest

HEAD = f"HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n"
SECONDS = 3  # the longest wait for an answer that may never come


def ask(stack: StackUnderTest, request: bytes, end: str = "wait") -> bytes:
    """All that the server itself answers. `end`: the client waits, closes its side, or leaves with a reset."""
    address = (address_in(stack.app(), stack.network("backend")), 8000)
    answer = b""
    with socket.create_connection(address, timeout=SECONDS) as connection:
        with contextlib.suppress(OSError):  # a server that refuses the head may close at once
            connection.sendall(request)
            if end == "close":
                connection.shutdown(socket.SHUT_WR)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return answer


def read_kept(stack: StackUnderTest, run: str) -> set[str]:
    """The uploads of a run that the application took for complete."""
    return set(re.findall(rf"kept: {run}-(\w+):", read_logs(stack.app())))


def assert_named(stack: StackUnderTest, promise: str, is_kept: bool, evidence: object) -> None:
    """The server keeps the promise, or it has a named difference and breaks the promise."""
    assert stack.serving
    named = named_differences.differences(*stack.serving[:2]).get(promise)
    assert is_kept == (named is None), (named.reason if named else promise, evidence)


def test_a_broken_upload_is_an_error(served: StackUnderTest) -> None:
    """A client that leaves within its body. The application must not take what has arrived for the complete body."""
    run = uuid.uuid4().hex[:8]
    part = b"x" * 300_000
    for end in ("close", "reset"):
        for name, body in (
            ("length", b"Content-Length: 1000000\r\n\r\n" + part),
            ("start", b"Content-Length: 1000000\r\n\r\n0123456789"),
            ("chunks", b"Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + part + b"\r\n"),
            ("chunk", b"Transfer-Encoding: chunked\r\n\r\n493e0\r\n0123456789"),
        ):
            ask(served, f"POST /keep/{run}-{name}_{end} {HEAD}".encode() + body, end)
    ask(
        served,
        f"POST /keep/{run}-chunks_malformed {HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nZZ\r\n\r\n".encode(),
    )
    ask(served, f"POST /keep/{run}-complete {HEAD}Content-Length: 5\r\n\r\nhello".encode())
    assert wait_until(lambda: "complete" in read_kept(served, run), 5)
    kept = read_kept(served, run) - {"complete"}
    assert {name for name in kept if not name.startswith("chunk")} == set()
    assert_named(served, named_differences.BROKEN_CHUNKS, not kept, kept)


def test_an_early_answer_arrives(served: StackUnderTest, proxy: str) -> None:
    """An answer before the body is read, to clients that read no answer before they have sent everything."""
    for size in (300_000, 9_000_000):
        connection = http.client.HTTPSConnection(SITE, served.https_port(proxy), timeout=20, context=served.tls())
        connection.request("POST", "/", bytes(size))
        response = connection.getresponse()
        assert (response.status, response.read()) == (405, b"no such method here\n"), size
        connection.close()


def test_an_error_of_the_application_is_no_complete_reply(served: StackUnderTest, proxy: str) -> None:
    """Before the reply: 500. In the body: 500, or a reply that the client sees break off."""
    before = served.get(proxy, "/fail/before")
    assert contract.find_fault(contract.FAILS_BEFORE, contract.Answer(before.status_code or 0, {}, b"")) == ""
    connection = http.client.HTTPSConnection(SITE, served.https_port(proxy), timeout=SECONDS, context=served.tls())
    try:
        connection.request("GET", "/fail/during")
        response = connection.getresponse()
        outcome: object = (response.status, response.read())
    except http.client.IncompleteRead:
        outcome = "incomplete"
    except http.client.RemoteDisconnected:
        outcome = "no reply"
    except TimeoutError:
        outcome = "the reply stays open"
    finally:
        connection.close()
    is_kept = outcome in ("incomplete", "no reply") or (isinstance(outcome, tuple) and outcome[0] in (500, 502))
    assert_named(served, named_differences.FAILS_IN_BODY, is_kept, outcome)


def test_a_header_keeps_its_bytes(served: StackUnderTest) -> None:
    """HTTP allows bytes above 127. Both interfaces hand them over as latin-1."""
    answer = ask(served, f"GET /request {HEAD}X-Latin: caf\xe9\r\nX-Utf: caf\xc3\xa9\r\n\r\n".encode("latin-1"))
    headers = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])["headers"]
    seen = headers.get("x-latin"), headers.get("x-utf")
    assert_named(served, named_differences.HEADER_BYTES, seen == ("caf\xe9", "caf\xc3\xa9"), seen)
