"""HTTP/3, by aioquic and by curl: the probe answers "yes" or "no", and a note."""

import asyncio
import socket
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

from .places import CA, PATIENCE, Address, Places, Result, curl_has_http3, run_curl, url


class Http3Connection(QuicConnectionProtocol):
    """One HTTP/3 connection, with one request at a time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.blocks: list[dict[str, str]] = []
        self.body = b""

    async def get(self, authority: str, path: str, *headers: tuple[bytes, bytes]) -> None:
        """Sends one GET; its answer is in `blocks` and `body`."""
        self.blocks, self.body, self.done = [], b"", self._loop.create_future()
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", authority.encode())]
        stream = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream, [*head, (b":path", path.encode()), *headers], end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.done, PATIENCE)

    def quic_event_received(self, event: Any) -> None:
        """Collects what the server sends."""
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self.blocks.append({name.decode(): value.decode() for name, value in part.headers})
            elif isinstance(part, DataReceived):
                self.body += part.data
            if getattr(part, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)


async def read_blocks(place: Address, *paths: str) -> dict[str, list[dict[str, str]]]:
    """By path: the header blocks of the reply over HTTP/3."""
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, cafile=CA, server_name=place[0])
    blocks = {}
    async with asyncio.timeout(2 * PATIENCE):
        async with connect(*place, configuration=quic, create_protocol=Http3Connection) as client:
            for path in paths:
                await client.get(f"{place[0]}:{place[1]}", path, (b"te", b"trailers"))
                blocks[path] = client.blocks
    return blocks


def is_udp_refused(place: Address) -> bool:
    """Whether nothing listens there on UDP. Then the host refuses at once."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(place)
        # An Initial of an unknown version: a QUIC server has to answer with its versions (RFC 9000, section 6).
        client.send(b"\xc0\x1a\x2a\x3a\x4a\x08abcdefgh\x08abcdefgh".ljust(1200, b"\0"))
        try:
            client.recv(100)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            pass
    return False


def ask_http3(places: Places) -> Result:
    """HTTP/3 over UDP. Where curl has HTTP/3, it must agree with aioquic."""
    if not places.tls:
        return "no", "no TLS"
    if is_udp_refused(places.tls):
        return "no", "UDP refused"
    try:
        status = asyncio.run(read_blocks(places.tls, "/"))["/"][0][":status"]
    except (OSError, TimeoutError) as error:
        return "no", type(error).__name__
    if curl_has_http3() and run_curl("--http3-only", url(places.tls, "https")) != ("3", status):
        raise RuntimeError(f"aioquic saw {status}, curl did not")
    return ("yes", "") if status == "200" else ("no", status)
