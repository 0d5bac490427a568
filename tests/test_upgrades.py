"""An upgrade over HTTP/2 or HTTP/3, where there is none: it harms neither the proxy nor the other requests."""

import asyncio
import time
from typing import Any

import pytest
from jh2.config import H2Configuration
from jh2.connection import H2Connection
from jh2.events import ConnectionTerminated, ResponseReceived, StreamEnded
from jh2.events import StreamReset as Http2Reset
from qh3 import QuicConfiguration, QuicConnectionProtocol
from qh3.asyncio.client import connect
from qh3.h3.connection import H3_ALPN, H3Connection
from qh3.h3.events import HeadersReceived
from qh3.quic.events import ConnectionTerminated as QuicTerminated
from qh3.quic.events import StreamReset

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
                    answers[event.stream_id or 0] = int(dict(event.headers or [])[":status"])
                elif isinstance(event, Http2Reset):
                    answers.setdefault(event.stream_id or 0, f"reset {int(event.error_code or 0)}")
                if isinstance(event, StreamEnded | Http2Reset):
                    ended.add(event.stream_id or 0)
            connection.sendall(http.data_to_send())
    return [answers[1 + 2 * number] for number in range(len(heads))]


class Http3Client(QuicConnectionProtocol):
    """One connection of HTTP/3, and the answers on it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.answers: dict[int, int | str] = {}
        self.more = asyncio.Event()

    def send(self, head: Head) -> int:
        """Sends one request; returns its stream."""
        stream = self._quic.get_next_available_stream_id()
        encoded = [(name.encode(), value.encode()) for name, value in head]
        self.http.send_headers(stream, encoded, end_stream=True)
        self.transmit()
        return stream

    def quic_event_received(self, event: Any) -> None:
        """Keeps the status of an answer, or the code of a reset."""
        if isinstance(event, StreamReset):
            self.answers.setdefault(event.stream_id, f"reset {event.error_code}")
        elif isinstance(event, QuicTerminated):
            self.answers[-1] = f"the connection was ended: {event}"
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self.answers[part.stream_id] = int(dict(part.headers)[b":status"])
        self.more.set()


async def ask_http3(stack: StackUnderTest, proxy: str, heads: list[Head]) -> list[int | str]:
    """The status of every request on one connection, or the code of its reset as text."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, cafile=str(stack.ca), server_name=SITE)
    async with connect(
        "127.0.0.1", stack.https_port(proxy), configuration=configuration, create_protocol=Http3Client
    ) as client:
        assert isinstance(client, Http3Client)
        streams = [client.send(head) for head in heads]
        async with asyncio.timeout(10):
            while not set(streams) <= client.answers.keys():
                assert -1 not in client.answers, client.answers
                client.more.clear()
                await client.more.wait()
    return [client.answers[stream] for stream in streams]


@pytest.mark.parametrize("path", ["/ws", "/live"])
def test_an_upgrade_over_http_2_and_3_harms_nobody(stack: StackUnderTest, proxy: str, path: str) -> None:
    began = time.time()
    tricks = [make_head(path, headers) for headers in TRICKS]
    heads = [head for trick in tricks for head in (trick, make_head("/live", []))]
    answers = {"2": ask_http2(stack, proxy, heads)}
    if "3" in spoken_versions(proxy):
        answers["3"] = asyncio.run(ask_http3(stack, proxy, heads))
    for version, statuses in answers.items():
        assert set(statuses[1::2]) == {200}, f"HTTP/{version}: another request on the connection was harmed"
        for headers, status in zip(TRICKS, statuses[::2], strict=True):
            # The request is malformed. It is refused, or taken without these headers: a GET of /ws is then a 404.
            allowed = {400, 404 if path == "/ws" else 200, *(f"reset {code}" for code in MALFORMED)}
            assert status in allowed, f"HTTP/{version}: {headers}"
    alerts = [
        line for line in read_logs(stack.container(proxy), began).splitlines() if "[alert]" in line or "[crit]" in line
    ]
    assert not alerts
