"""Fields after a chunked body (trailers): dropped or refused, and never a header for the application."""

import json

import pytest

from tests.support.raw_clients import Reply, ask_http2, make_head, send_all
from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.usefixtures("any_app")
# Small, as headers that the application trusts, and larger or more than a head may be.
FIELDS = [
    b"X-Probe: evil\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n",
    b"X_Forwarded_For: 6.6.6.6\r\n",
    b"Host: evil\r\n",
    b"Authorization: evil\r\n",
    b"Content-Length: 66\r\n",
    b"Transfer-Encoding: evil\r\n",
    b"X-Probe: " + b"evil" * 750 + b"\r\n",
]
TOO_MUCH = [
    b"evil\r\n",
    b"X-Probe: evil\r\n" * 200,
    *(b"X-Probe: " + b"evil" * size + b"\r\n" for size in (1250, 2500, 5000, 10_000, 100_000)),
    (b"X-Probe: " + b"evil" * 2000 + b"\r\n") * 250,
]
BODIES = {"/request": b"5\r\nhello\r\n", "/upload": b"100000\r\n" + b"x" * 2**20 + b"\r\n"}


def send_fields(stack: StackUnderTest, proxy: str, fields: bytes) -> list[Reply]:
    """The replies to chunked bodies, small and large, with these fields after them."""
    head = "Host: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests = [
        f"POST {path} HTTP/1.1\r\n{head}".encode() + body + b"0\r\n" + fields + b"\r\n" for path, body in BODIES.items()
    ]
    return send_all(stack.https_port(proxy), requests, stack.tls())


def test_no_field_after_a_body_is_a_header(stack: StackUnderTest, proxy: str) -> None:
    for fields in FIELDS:
        request, upload = send_fields(stack, proxy, fields)
        if b"Transfer-Encoding" in fields and {request.status, upload.status} <= {0, 400}:
            continue  # HAProxy refuses this name
        assert (request.status, upload.status) == (200, 200), fields[:80]
        assert b"evil" not in request.body and b"6.6.6.6" not in request.body, (fields[:80], request.body)
        assert json.loads(request.body)["headers"].get("content-length") in (None, "5")
        assert json.loads(upload.body)["bytes"] == 2**20


@pytest.mark.duty("400 for a bad end of a chunked body")
def test_fields_after_a_body_are_dropped_or_refused(stack: StackUnderTest, proxy: str) -> None:
    for fields in TOO_MUCH:
        for reply in send_fields(stack, proxy, fields):
            # 0: HAProxy closes where the fields are larger than its buffer.
            assert reply.status in (200, 0, 400, 413, 431), (fields[:40], len(fields), reply)
            assert b"evil" not in reply.body


def test_no_field_after_a_body_of_http_2_is_a_header(stack: StackUnderTest, proxy: str) -> None:
    tls = stack.tls()
    tls.set_alpn_protocols(["h2"])
    names = ("x-probe", "x-forwarded-for", "x_forwarded_for", "host", "authorization", "content-length", ":path")
    for name, value in [*((name, "evil") for name in names), ("x-probe", "evil" * 4000)]:
        reply = ask_http2(stack.https_port(proxy), make_head("/request", method="POST"), tls, ((name, value),))
        assert reply.status in (0, 200, 400, 431), (name, reply)
        assert b"evil" not in reply.body, (name, reply)
