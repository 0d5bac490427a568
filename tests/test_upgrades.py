"""An upgrade over HTTP/2 or HTTP/3, where there is none: it harms neither the proxy nor the other requests."""

import asyncio
import time
from typing import Any

import pytest
from jh2.config import H2Configuration
from jh2.connection import H2Connection
from jh2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset
from qh3 import QuicConfiguration, QuicConnectionProtocol
from qh3.asyncio.client import connect
from qh3.h3.connection import H3_ALPN, H3Connection
from qh3.h3.events import HeadersReceived

from tests.support.clients import SITE
from tests.support.engine import read_logs
from tests.support.stack import StackUnderTest, spoken_versions

pytestmark = pytest.mark.usefixtures("any_app")
KEY = [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")]
# Headers that belong to one connection of HTTP/1.1 (RFC 9113, 8.2.2; RFC 9114, 4.2).
TRICKS = (
    [("upgrade", "websocket"), *KEY],
    [("connection", "upgrade"), ("upgrade", "websocket"), *KEY],
    [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")],
    [("connection", "close")],
    [("keep-alive", "timeout=5")],
    [("proxy-connection", "keep-alive")],
    [("transfer-encoding", "chunked")],
)
MALFORMED = (1, 0x10E)  # the codes of a stream that is reset for a malformed request: PROTOCOL_ERROR, H3_MESSAGE_ERROR
Head = list[tuple[str, str]]


def make_head(path: str, more: Head) -> Head:
    """The head of a GET."""
    return [(":method", "GET"), (":scheme", "https"), (":authority", SITE), (":path", path), *more]


def ask_http2(stack: StackUnderTest, proxy: str, heads: list[Head]) -> list[int | str]:
    """The status of every request on one connection, or the code of its reset as text."""
    context = stack.tls()
    context.set_alpn_protocols(["h2"])
    http = H2Connection(H2Configuration(validate_outbound_headers=False, header_encoding="utf-8"))
    answers: dict[int, int | str] = {}
    ended: set[int] = set()
    with stack.socket(proxy, context) as connection:
        http.initiate_connection()
        for number, head in enumerate(heads):
            http.send_headers(1 + 2 * number, head, end_stream=True)
        connection.sendall(http.data_to_send())
        while len(ended) < len(heads):
            data = connection.recv(65536)
            assert data, f"the connection was closed after {answers}"
            for event in http.receive_data(data):
                assert not isinstance(event, ConnectionTerminated), f"the connection was ended after {answers}"
                if isinstance(event, ResponseReceived):
                    answers[event.stream_id or 0] = int(dict(event.headers or [])[":status"])  # type: ignore[call-overload]
                elif isinstance(event, StreamReset):
                    answers.setdefault(event.stream_id or 0, f"reset {int(event.error_code or 0)}")
                if isinstance(event, StreamEnded | StreamReset):
                    ended.add(event.stream_id or 0)
            connection.sendall(http.data_to_send())
    return [answers[1 + 2 * number] for number in range(len(heads))]
