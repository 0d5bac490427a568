"""Which features of HTTP does this place speak? Each probe is a real client, and answers "yes" or "no" and what it saw.

Inside the probe container, `python3 -m probe.client '{"clear": ["nginx", 8080], "tls": ["nginx", 8443]}'` prints JSON.
"""

import asyncio
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import InvalidHandshake, InvalidMessage

CA = "/certs/ca.pem"
NO_ALPN = "no ALPN h2"
PATIENCE = 10.0  # seconds that an answer may take
Seen = tuple[str, str]  # "yes" or "no", and a note


class Places(NamedTuple):
    """Where a server listens: without TLS, and with it (HTTP/3 on the same number)."""

    clear: tuple[str, int] | None = None
    tls: tuple[str, int] | None = None


def said(error: OSError) -> str:
    """What ended a probe, in the same words whichever side was faster."""
    if isinstance(error, TimeoutError):
        return "silence"
    return "closed" if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError) else str(error)[:60]


class Answer(NamedTuple):
    """An HTTP/1 answer as it was on the wire."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


class Wire:
    """One HTTP/1 connection, byte by byte; TLS where the place has no clear port that serves."""

    def __init__(self, places: Places) -> None:
        place = places.clear if PLAIN_FIRST and places.clear else places.tls or places.clear
        assert place
        self.host = place[0]
        self.socket: socket.socket = socket.create_connection(place, timeout=PATIENCE)
        if place == places.tls:
            self.socket = context(["http/1.1"]).wrap_socket(self.socket, server_hostname=place[0])
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()
        self.socket.close()

    def send(self, request: str, *more: str, body: bytes = b"", version: str = "1.1") -> None:
        """Sends a head, and a body."""
        head = [f"{request} HTTP/{version}", f"Host: {self.host}", *more, "", ""]
        self.socket.sendall("\r\n".join(head).encode() + body)

    def fields(self) -> dict[str, str]:
        """Header lines up to the empty one."""
        found = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            found[name.lower()] = value.strip()
        return found

    def answer(self) -> Answer:
        """The next answer; ConnectionError where there is none."""
        line = self.file.readline().decode("latin-1")
        if not line.startswith("HTTP/"):
            raise ConnectionError(f"answered {line[:40]!r}" if line else "closed")
        version, status = line.split()[:2]
        headers, body, trailers = self.fields(), b"", {}
        if status.startswith("1") or status == "204":
            pass
        elif "chunked" in headers.get("transfer-encoding", ""):
            while (line := self.file.readline().decode("latin-1")) and (size := int(line.split(";")[0], 16)):
                body += self.file.read(size)
                self.file.readline()
            if not line:
                raise ConnectionError("closed within the reply")
            trailers = self.fields()
        elif "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = self.file.read()
        return Answer(version, int(status), headers, body, trailers)


PLAIN_FIRST = True  # behind a proxy, only TLS is served: see main


def context(protocols: list[str]) -> ssl.SSLContext:
    """A client context that trusts the stack's authority only and offers these protocols."""
    one = ssl.create_default_context(cafile=CA)
    one.set_alpn_protocols(protocols)
    return one


# HTTP/1, by raw sockets


def http09(places: Places) -> Seen:
    """A request line alone, and the bare body as its answer."""
    with Wire(places) as wire:
        wire.socket.sendall(b"GET /\r\n")
        wire.socket.settimeout(1)
        try:
            first = wire.socket.recv(200)
            note = ""
        except TimeoutError:
            wire.socket.sendall(b"\r\n")
            wire.socket.settimeout(PATIENCE)
            first = wire.socket.recv(200)
            note = " (after an empty line)"
    if first.startswith(b"HTTP/"):
        return "no", first.split(b"\r\n")[0].decode("latin-1")
    return ("yes", "the bare body" + note) if first else ("no", "closed")


def http10(places: Places) -> Seen:
    """A request of HTTP/1.0, a whole answer, and the end of the connection."""
    with Wire(places) as wire:
        wire.send("GET /", version="1.0")
        answer = wire.answer()
        if answer.status != 200:
            return "no", str(answer.status)
        closed = wire.file.read(1) == b""
    return "yes", f"answered as {answer.version}, {'closed' if closed else 'kept open'}"


def keep_alive(places: Places) -> Seen:
    """A second answer on the connection of the first."""
    with Wire(places) as wire:
        for number in range(2):
            try:
                wire.send("GET /")
                status = wire.answer().status
            except OSError:
                return "no", "closed after the first answer" if number else "no answer"
    return ("yes", "") if status == 200 else ("no", str(status))


def chunked_request(places: Places) -> Seen:
    """A body of unknown length, sent in chunks, comes back whole."""
    body = b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"
    with Wire(places) as wire:
        wire.send("POST /echo", "Transfer-Encoding: chunked", "Content-Type: text/plain", body=body)
        answer = wire.answer()
    return ("yes", "") if answer.body == b"one two" else ("no", f"{answer.status}, {len(answer.body)} bytes")


def chunked_reply(places: Places) -> Seen:
    """A reply of unknown length comes in chunks."""
    with Wire(places) as wire:
        wire.send("GET /stream")
        answer = wire.answer()
    if answer.body != b"one two":
        return "no", f"{answer.status}, {len(answer.body)} bytes"
    if "chunked" in answer.headers.get("transfer-encoding", ""):
        return "yes", ""
    return "no", "length announced" if "content-length" in answer.headers else "ends with the connection"


def pipelining(places: Places) -> Seen:
    """Two requests in one write, two answers in order."""
    with Wire(places) as wire:
        one = f"GET /?first HTTP/1.1\r\nHost: {wire.host}\r\n\r\n"
        wire.socket.sendall((one + one.replace("first", "second")).encode())
        try:
            bodies = [wire.answer().body.split()[-1:] for _ in range(2)]
        except OSError:
            return "no", "no second answer"
    return ("yes", "") if bodies == [[b"first"], [b"second"]] else ("no", repr(bodies))


def expect_continue(places: Places) -> Seen:
    """A client that waits for 100 before it sends its body gets it; and when does it?"""
    firsts = {}
    for query in ("read", "unread"):
        with Wire(places) as wire:
            wire.send(f"POST /echo?{query}", "Expect: 100-continue", "Content-Length: 4", "Content-Type: text/plain")
            wire.socket.settimeout(2)
            try:
                answer = wire.answer()
            except TimeoutError:
                firsts[query] = "silence"
                continue
            firsts[query] = str(answer.status)
            if query == "read" and answer.status == 100:
                wire.socket.settimeout(PATIENCE)
                wire.socket.sendall(b"body")
                while (final := wire.answer()).status == 100:
                    pass  # Caddy says it, and passes on the server's
                if final.body != b"body":
                    return "no", f"100, then {final.status}"
    if firsts["read"] != "100":
        return "no", firsts["read"]
    return "yes", "always" if firsts["unread"] == "100" else "when the application reads"


def events(places: Places) -> Seen:
    """Server-sent events: the server makes each when we have acknowledged the one before."""
    with Wire(places) as wire, socket.socket(type=socket.SOCK_DGRAM) as mouth:
        wire.send("GET /events", "Accept: text/event-stream")
        seen = b""
        acknowledged: set[bytes] = set()
        while not (end := re.search(rb"data: acknowledged (\d)", seen)):
            line = wire.file.readline()
            if not line:
                return "no", "closed"
            seen += line
            if (event := re.match(rb"data: ([\d.]+) (\d+) (\d)", line)) and event[3] not in acknowledged:
                acknowledged.add(event[3])
                mouth.sendto(event[3], (event[1].decode(), int(event[2])))
        return ("yes", "") if end[1] == b"3" else ("no", "held back")


def websocket_h1(places: Places) -> Seen:
    """A message comes back over an upgraded HTTP/1.1 connection."""
    plain = places.clear if PLAIN_FIRST and places.clear else None
    host, port = plain or places.tls  # type: ignore[misc]

    async def echo() -> Seen:
        uri, tls = f"{'ws' if plain else 'wss'}://{host}:{port}/ws", None if plain else context(["http/1.1"])
        async with asyncio.timeout(PATIENCE), websocket(uri, ssl=tls, open_timeout=None, proxy=None) as one:
            await one.send("hello")
            return ("yes", "") if await one.recv() == "hello" else ("no", "another message")

    try:
        return asyncio.run(echo())
    except (InvalidHandshake, InvalidMessage, OSError, EOFError) as error:
        if response := getattr(error, "response", None):
            return "no", str(response.status_code)
        return "no", "silence" if isinstance(error, TimeoutError) else "closed"


# HTTP/2, by the h2 library and by curl


class Two:
    """One HTTP/2 connection; what came on each stream."""

    def __init__(self, place: tuple[str, int], secure: bool) -> None:
        self.socket: socket.socket = socket.create_connection(place, timeout=PATIENCE)
        if secure:
            self.socket = context(["h2"]).wrap_socket(self.socket, server_hostname=place[0])
            if self.socket.selected_alpn_protocol() != "h2":
                self.socket.close()
                raise ConnectionError(NO_ALPN)
        self.authority, self.scheme = f"{place[0]}:{place[1]}", "https" if secure else "http"
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.seen: dict[int, list[Any]] = {}
        self.settings: dict[Any, Any] = {}
        self.sizes: list[int] = []  # of header blocks sent

    def __enter__(self) -> "Two":
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.close()

    def flush(self) -> int:
        """Sends what is due; how many bytes."""
        data = self.http.data_to_send()
        self.socket.sendall(data)
        return len(data)

    def open(self, path: str, *more: tuple[str, str], method: str = "GET", end: bool = True) -> int:
        """Sends a request's head; its stream, and the size of its frame in `sizes`."""
        self.flush()
        stream = self.http.get_next_available_stream_id()
        head = [(":method", method), (":authority", self.authority), (":scheme", self.scheme), (":path", path), *more]
        self.http.send_headers(stream, head, end_stream=end)
        self.seen[stream] = []
        self.sizes.append(self.flush())
        return stream

    def turn(self) -> None:
        """Reads once."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionError("not HTTP/2") from error
        for event in events:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings |= {key: one.new_value for key, one in event.changed_settings.items()}
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise ConnectionError(f"GOAWAY {event.error_code}")
            elif (stream := getattr(event, "stream_id", None)) in self.seen:
                self.seen[stream].append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.http.acknowledge_received_data(event.flow_controlled_length, stream)
        self.flush()

    def until(self, stream: int, *kinds: Any) -> Any:
        """The first event of one of these kinds on a stream."""
        while True:
            for event in self.seen[stream]:
                if isinstance(event, kinds):
                    return event
            self.turn()

    def get(self, path: str, *more: tuple[str, str]) -> list[Any]:
        """All events of one request."""
        stream = self.open(path, *more)
        self.until(stream, h2.events.StreamEnded, h2.events.StreamReset)
        return self.seen[stream]


def either(places: Places) -> Two:
    """A connection over TLS where there is TLS, and by prior knowledge elsewhere."""
    if places.tls:
        return Two(places.tls, secure=True)
    assert places.clear
    return Two(places.clear, secure=False)


def body_of(events: list[Any]) -> bytes:
    """The body among a stream's events."""
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


def curl(*arguments: str) -> tuple[str, str]:
    """The HTTP version and the status that curl saw, or ("", why not)."""
    command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", "15", "--noproxy", "*"]
    command += ["--cacert", CA, "--write-out", "%{http_version} %{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "", " ".join(done.stderr.split())[:80] or f"curl: ({done.returncode})"
    version, status = done.stdout.split()
    return version, status


def at(place: tuple[str, int], scheme: str) -> str:
    """The URL of a place."""
    return f"{scheme}://{place[0]}:{place[1]}/"


def h2_alpn(places: Places) -> Seen:
    """HTTP/2 agreed on in the TLS handshake; curl and the h2 library have to say the same."""
    if not places.tls:
        return "no", "no TLS"
    version, status = curl("--http2", at(places.tls, "https"))
    try:
        with Two(places.tls, secure=True) as two:
            library = next(dict(event.headers)[":status"] for event in two.get("/") if hasattr(event, "headers"))
    except OSError as error:
        library = str(error)
    if (version == "2") != library.isdigit():
        raise RuntimeError(f"curl saw {version} {status}, the h2 library {library}")
    if version == "2" and library == "200":
        return "yes", ""
    return "no", f"{status} over HTTP/{version}" if library == NO_ALPN else "agreed on, but not spoken"


def h2c_prior(places: Places) -> Seen:
    """HTTP/2 without TLS, from the first byte."""
    if not places.clear:
        return "no", "no port without TLS"
    version, status = curl("--http2-prior-knowledge", at(places.clear, "http"))
    return ("yes", "" if status == "200" else status) if version == "2" else ("no", reason(version, status))


def h2c_upgrade(places: Places) -> Seen:
    """HTTP/2 without TLS, by `Upgrade: h2c` on an HTTP/1.1 request."""
    if not places.clear:
        return "no", "no port without TLS"
    version, status = curl("--http2", at(places.clear, "http"))
    return ("yes", "") if version == "2" else ("no", reason(version, status))


def reason(version: str, status: str) -> str:
    """What curl saw instead."""
    return f"{status} over HTTP/{version}" if version else "no HTTP/2"


def websocket_h2(places: Places) -> Seen:
    """A message comes back over a stream of an HTTP/2 connection (RFC 8441)."""
    try:
        two = either(places)
        two.get("/")
    except OSError:
        return "no", "no HTTP/2"
    with two:
        try:
            if not two.settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL):
                return "no", "not offered"
            more = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
            stream = two.open("/ws", *more, method="CONNECT", end=False)
            head = two.until(stream, h2.events.ResponseReceived, h2.events.StreamReset)
            status = dict(getattr(head, "headers", [])).get(":status", "reset")
            if status != "200":
                return "no", f"offered, {status}"
            two.http.send_data(stream, b"\x81\x85\0\0\0\0hello")  # a masked text frame, its mask zero
            two.flush()
            while b"\x81\x05hello" not in body_of(two.seen[stream]):
                if any(isinstance(event, h2.events.StreamEnded) for event in two.seen[stream]):
                    return "no", "offered, but handed on as a plain request"
                two.turn()
        except OSError as error:
            return "no", f"offered, {said(error)}"
    return "yes", ""


def multiplexed(places: Places) -> Seen:
    """Two requests on one connection are answered only if both are there at once; HTTP/1.1 is the control."""
    with either(places) as two:
        streams = [two.open("/meet"), two.open("/meet")]
        for stream in streams:
            two.until(stream, h2.events.StreamEnded, h2.events.StreamReset)
        bodies = [body_of(two.seen[stream]) for stream in streams]
    return ("yes" if bodies == [b"met", b"met"] else "no"), " ".join(body.decode()[:9] for body in bodies)


def not_multiplexed(places: Places) -> Seen:
    """The control of the above: the same two requests, pipelined on one HTTP/1.1 connection."""
    with Wire(places) as wire:
        wire.socket.sendall(2 * f"GET /meet HTTP/1.1\r\nHost: {wire.host}\r\n\r\n".encode())
        bodies = [wire.answer().body for _ in range(2)]
    return ("yes" if bodies == [b"met", b"met"] else "no"), " ".join(body.decode()[:9] for body in bodies)


def header_compression(places: Places) -> tuple[str, str, list[int]]:
    """A header that was sent once costs next to nothing the second time, and still arrives whole."""
    long = ("x-long", "0123456789abcdef" * 16)
    with either(places) as two:
        two.get("/")  # the server's settings are in force
        two.sizes.clear()
        whole = all(body_of(two.get("/header", long)) == long[1].encode() for _ in range(2))
    return ("yes" if whole and two.sizes[1] * 2 < two.sizes[0] else "no"), "", two.sizes


# HTTP/3, by aioquic and by curl


class Three(QuicConnectionProtocol):
    """One HTTP/3 connection, one request at a time."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.http = H3Connection(self._quic)
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.blocks: list[dict[str, str]] = []
        self.body = b""

    async def get(self, authority: str, path: str, *more: tuple[bytes, bytes]) -> None:
        """One request; the answer is in `blocks` and `body`."""
        self.blocks, self.body, self.done = [], b"", self._loop.create_future()
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", authority.encode())]
        stream = self._quic.get_next_available_stream_id()
        self.http.send_headers(stream, [*head, (b":path", path.encode()), *more], end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.done, PATIENCE)

    def quic_event_received(self, event: Any) -> None:
        """Collects what the server sends."""
        for one in self.http.handle_event(event):
            if isinstance(one, HeadersReceived):
                self.blocks.append({name.decode(): value.decode() for name, value in one.headers})
            elif isinstance(one, DataReceived):
                self.body += one.data
            if getattr(one, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)


async def three(place: tuple[str, int], *paths: str) -> dict[str, list[dict[str, str]]]:
    """The header blocks that HTTP/3 brings for each path."""
    quic = QuicConfiguration(alpn_protocols=H3_ALPN, cafile=CA, server_name=place[0])
    found = {}
    async with asyncio.timeout(2 * PATIENCE):
        async with connect(*place, configuration=quic, create_protocol=Three) as client:
            for path in paths:
                await client.get(f"{place[0]}:{place[1]}", path, (b"te", b"trailers"))
                found[path] = client.blocks
    return found


def udp_refused(place: tuple[str, int]) -> bool:
    """Whether nothing listens there on UDP: the host says so at once."""
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect(place)
        # An Initial of a version that nobody speaks: a QUIC server has to say which it does (RFC 9000, section 6).
        one.send(b"\xc0\x1a\x2a\x3a\x4a\x08abcdefgh\x08abcdefgh".ljust(1200, b"\0"))
        try:
            one.recv(100)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            pass
    return False


def http3(places: Places) -> Seen:
    """HTTP/3 over UDP; where curl can, it has to say the same as aioquic."""
    if not places.tls:
        return "no", "no TLS"
    if udp_refused(places.tls):
        return "no", "UDP refused"
    try:
        status = asyncio.run(three(places.tls, "/"))["/"][0][":status"]
    except (OSError, TimeoutError) as error:
        return "no", type(error).__name__
    if CURL_HAS_HTTP3 and curl("--http3-only", at(places.tls, "https")) != ("3", status):
        raise RuntimeError(f"aioquic saw {status}, curl did not")
    return ("yes", "") if status == "200" else ("no", status)


# 103 and trailers, over each version that is spoken


def blocks_1(places: Places, path: str) -> list[dict[str, str]]:
    """Every block of headers of a reply, in order: of 103, of the reply, its trailers."""
    found: list[dict[str, str]] = []
    with Wire(places) as wire:
        wire.send(f"GET {path}", "TE: trailers", "Connection: TE")
        while not found or found[-1][":status"].startswith("1"):
            answer = wire.answer()
            found.append(answer.headers | {":status": str(answer.status)})
    return [*found, answer.trailers]


def blocks_2(places: Places, path: str) -> list[dict[str, str]]:
    """The same over HTTP/2."""
    with either(places) as two:
        return [dict(event.headers) for event in two.get(path, ("te", "trailers")) if hasattr(event, "headers")]


def blocks_3(places: Places, path: str) -> list[dict[str, str]]:
    """The same over HTTP/3; none where the reply never ends."""
    assert places.tls
    try:
        return asyncio.run(three(places.tls, path))[path]
    except TimeoutError:
        return []


BLOCKS = {"1.1": blocks_1, "2": blocks_2, "3": blocks_3}


def hints_and_trailers(places: Places, spoken: list[str]) -> dict[str, Seen]:
    """103 before the reply, and a header after its body: over which versions?"""
    hinted, trailed = [], []
    for version in ("1.1", *spoken):
        early, late = BLOCKS[version](places, "/hints"), BLOCKS[version](places, "/trailers")
        hinted += [version] if early and "style.css" in early[0].get("link", "") else []
        trailed += [version] if late and late[-1].get("x-sum") == "7" else []
    tried = "not over " + ", ".join(["1.1", *spoken])
    return {
        "103 early hints": ("yes", "over " + ", ".join(hinted)) if hinted else ("no", tried),
        "trailers": ("yes", "over " + ", ".join(trailed)) if trailed else ("no", tried),
    }


def load(places: Places) -> dict[str, str]:
    """What h2load, another client again, says of 40 requests, 10 at once, on one connection."""
    done = subprocess.run(
        ["h2load", "--requests=40", "--clients=1", "--max-concurrent-streams=10", at(places.tls, "https")],  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        check=False,
    )
    saved = re.search(r"space savings ([\d.]+)%", done.stdout)
    succeeded = re.search(r"(\d+) succeeded", done.stdout)
    protocol = re.search(r"Application protocol: (\S+)", done.stdout)
    return {
        "protocol": protocol[1] if protocol else "",
        "succeeded": succeeded[1] if succeeded else "0",
        "reply headers saved": saved[1] if saved else "",
    }


PROBES: dict[str, Callable[[Places], Seen]] = {
    "0.9": http09,
    "1.0": http10,
    "1.1 keep-alive": keep_alive,
    "1.1 chunked request": chunked_request,
    "1.1 chunked reply": chunked_reply,
    "1.1 pipelining": pipelining,
    "100-continue": expect_continue,
    "h2 by ALPN": h2_alpn,
    "h2c by prior knowledge": h2c_prior,
    "h2c by Upgrade": h2c_upgrade,
    "HTTP/3": http3,
    "WebSocket over h1": websocket_h1,
    "WebSocket over h2": websocket_h2,
    "server-sent events": events,
}
CURL_HAS_HTTP3 = False


def properties(places: Places, control: bool) -> dict[str, Any]:
    """What HTTP/2 promises, where it is spoken over TLS."""
    found = {"multiplexed": multiplexed(places), "header bytes": header_compression(places), "h2load": load(places)}
    return found | ({"control": not_multiplexed(places)} if control else {})


def probe(places: Places, promises: bool, control: bool) -> dict[str, Any]:
    """Every feature of one place; on wish, what HTTP/2 promises, and the control of that."""
    global CURL_HAS_HTTP3
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    CURL_HAS_HTTP3 = "HTTP3" in version
    features: dict[str, Any] = {}
    for name, ask in PROBES.items():
        try:
            features[name] = ask(places)
        except OSError as error:
            features[name] = ("no", said(error))
    spoken = [number for number, name in (("2", "h2 by ALPN"), ("3", "HTTP/3")) if features[name][0] == "yes"]
    features |= hints_and_trailers(places, spoken)
    return {"features": features, "h2": properties(places, control) if promises and "2" in spoken else {}}


def place(given: list[Any] | None) -> tuple[str, int] | None:
    """A place as JSON has it."""
    return (given[0], given[1]) if given else None


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    PLAIN_FIRST = wanted.get("plain first", True)
    asked = Places(place(wanted.get("clear")), place(wanted.get("tls")))
    print(json.dumps(probe(asked, wanted["promises"], wanted["promises"])))
