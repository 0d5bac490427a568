"""Clients that send exact bytes over HTTP/1.1, and exact pseudo-headers over HTTP/2 and HTTP/3."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.events
from qh3.asyncio.client import connect
from qh3.asyncio.protocol import QuicConnectionProtocol
from qh3.h3.connection import H3_ALPN, H3Connection
from qh3.h3.events import DataReceived, HeadersReceived
from qh3.quic.configuration import QuicConfiguration

from tests.support.clients import SITE
from tests.support.stack import StackUnderTest

PATIENCE = 3.0  # seconds. HAProxy leaves some wrong requests of HTTP/3 without an answer
AT_ONCE = 4  # requests: the machines of the tests have few cores


class Reply(NamedTuple):
    """The status, 0 where the proxy closed or reset without an answer; the headers by lower-case name; the body."""

    status: int
    headers: dict[str, list[str]]
    body: bytes


def parse(answer: bytes) -> Reply:
    """The first reply among the bytes that came. The body is all that follows its head."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    matched = re.match(r"HTTP/1\.[01] (\d{3})\b", lines[0])
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return Reply(int(matched[1]) if matched else 0, headers, body)


def send_bytes(port: int, request: bytes, tls: ssl.SSLContext | None, patience: float = PATIENCE) -> bytes:
    """All that the proxy answers until it closes, or sends nothing for `patience` seconds. Without `tls`: plain TCP."""
    answer = b""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        if tls:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=SITE))
        connection.sendall(request)
        connection.settimeout(patience)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def send_all(port: int, requests: Iterable[bytes], tls: ssl.SSLContext | None) -> list[Reply]:
    """The reply to each request, each on a connection of its own."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda request: parse(send_bytes(port, request, tls)), requests))


Head = Sequence[tuple[str, str]]  # pseudo-headers and headers, in the order in which they are sent


def make_head(path: str, authority: str = SITE, method: str = "GET", scheme: str = "https") -> Head:
    """The pseudo-headers of a request, unchecked."""
    return ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path))


def encode(head: Head) -> list[tuple[bytes, bytes]]:
    """The head as bytes. A character stands for each byte of a value."""
    return [(name.encode(), value.encode("latin-1")) for name, value in head]


def ask_http2(port: int, head: Head, tls: ssl.SSLContext, trailers: Head = ()) -> Reply:
    """One request over a connection of its own, with fields after its body. The library checks nothing."""
    unchecked = h2.config.H2Configuration(
        header_encoding="latin-1",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
    )
    http = h2.connection.H2Connection(unchecked)
    http.initiate_connection()
    http.send_headers(1, encode(head), end_stream=not trailers)
    if trailers:
        http.send_headers(1, encode(trailers), end_stream=True)
    status, headers, body = 0, dict[str, list[str]](), b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        with contextlib.suppress(OSError), tls.wrap_socket(plain, server_hostname=SITE) as connection:
            connection.sendall(http.data_to_send())
            while data := connection.recv(65536):
                for event in http.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        for name, value in event.headers:
                            headers.setdefault(str(name), []).append(str(value))
                        status = int(headers[":status"][0])
                    elif isinstance(event, h2.events.DataReceived):
                        body += event.data
                    elif isinstance(
                        event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated
                    ):
                        return Reply(status, headers, body)
    return Reply(status, headers, body)


class Http3Connection(QuicConnectionProtocol):
    """One HTTP/3 connection, with one request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.headers: dict[str, list[str]] = {}
        self.body = b""

    def quic_event_received(self, event: Any) -> None:
        """Collects what the server sends, until the reply, the stream or the connection ends."""
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived):
                for name, value in part.headers:
                    self.headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
            elif isinstance(part, DataReceived):
                self.body += part.data
            if getattr(part, "stream_ended", False):
                self.finish()
        if type(event).__name__ in ("StreamReset", "StopSendingReceived", "ConnectionTerminated"):
            self.finish()

    def finish(self) -> None:
        """Ends the wait for the reply."""
        if not self.done.done():
            self.done.set_result(None)


async def ask_http3(port: int, head: Head, authority_file: str) -> Reply:
    """One request over a QUIC connection of its own."""
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, cafile=authority_file, server_name=SITE)
    async with connect("127.0.0.1", port, configuration=quic, create_protocol=Http3Connection) as client:
        assert isinstance(client, Http3Connection)
        stream = client._quic.get_next_available_stream_id()
        client.http.send_headers(stream, encode(head), end_stream=True)
        client.transmit()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.done, PATIENCE)
        return Reply(int(client.headers.get(":status", ["0"])[0]), client.headers, client.body)


def ask(stack: StackUnderTest, proxy: str, version: str, heads: Sequence[Head]) -> list[Reply]:
    """The replies over HTTP/2 or HTTP/3, each on a connection of its own."""
    port = stack.https_port(proxy)

    async def ask_all() -> list[Reply]:
        return await asyncio.gather(*(ask_http3(port, head, str(stack.ca)) for head in heads))

    if version == "3":
        return asyncio.run(ask_all())
    tls = stack.tls()
    tls.set_alpn_protocols(["h2"])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda head: ask_http2(port, head, tls), heads))
