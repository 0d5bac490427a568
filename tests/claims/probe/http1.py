"""HTTP/1, byte by byte over raw sockets: each probe answers "yes" or "no", and a note."""

import asyncio
import re
import socket
from typing import Any, NamedTuple

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidMessage

from .places import PATIENCE, Places, Result, tls_context


class Answer(NamedTuple):
    """An HTTP/1 answer as it was on the wire."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


class Wire:
    """One HTTP/1 connection, byte by byte."""

    def __init__(self, places: Places) -> None:
        self.host = places.http1[0]
        self.socket: socket.socket = socket.create_connection(places.http1, timeout=PATIENCE)
        if places.http1_has_tls:
            self.socket = tls_context(["http/1.1"]).wrap_socket(self.socket, server_hostname=self.host)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()
        self.socket.close()

    def send(self, request: str, *headers: str, body: bytes = b"", version: str = "1.1") -> None:
        """Sends the head of a request, and a body."""
        head = [f"{request} HTTP/{version}", f"Host: {self.host}", *headers, "", ""]
        self.socket.sendall("\r\n".join(head).encode() + body)

    def fields(self) -> dict[str, str]:
        """Reads header lines up to the empty line."""
        headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def answer(self) -> Answer:
        """Reads the next answer; ConnectionError where there is none."""
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


def ask_http09(places: Places) -> Result:
    """A request that is only a request line is answered with only the body."""
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


def ask_http10(places: Places) -> Result:
    """A request of HTTP/1.0 is answered; the note says whether the connection ends."""
    with Wire(places) as wire:
        wire.send("GET /", version="1.0")
        answer = wire.answer()
        if answer.status != 200:
            return "no", str(answer.status)
        closed = wire.file.read(1) == b""
    return "yes", f"answered as {answer.version}, {'closed' if closed else 'kept open'}"


def ask_keep_alive(places: Places) -> Result:
    """Two requests, one after the other, are answered on one connection."""
    with Wire(places) as wire:
        for number in range(2):
            try:
                wire.send("GET /")
                status = wire.answer().status
            except OSError:
                return "no", "closed after the first answer" if number else "no answer"
    return ("yes", "") if status == 200 else ("no", str(status))


def ask_chunked_request(places: Places) -> Result:
    """A body of unknown length, sent in chunks, comes back complete."""
    body = b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"
    with Wire(places) as wire:
        wire.send("POST /echo", "Transfer-Encoding: chunked", "Content-Type: text/plain", body=body)
        answer = wire.answer()
    return ("yes", "") if answer.body == b"one two" else ("no", f"{answer.status}, {len(answer.body)} bytes")


def ask_chunked_reply(places: Places) -> Result:
    """A reply of unknown length comes in chunks."""
    with Wire(places) as wire:
        wire.send("GET /stream")
        answer = wire.answer()
    if answer.body != b"one two":
        return "no", f"{answer.status}, {len(answer.body)} bytes"
    if "chunked" in answer.headers.get("transfer-encoding", ""):
        return "yes", ""
    return "no", "length announced" if "content-length" in answer.headers else "ends with the connection"


def ask_pipelining(places: Places) -> Result:
    """Two requests in one write get two answers in order."""
    with Wire(places) as wire:
        request = f"GET /?first HTTP/1.1\r\nHost: {wire.host}\r\n\r\n"
        wire.socket.sendall((request + request.replace("first", "second")).encode())
        try:
            bodies = [wire.answer().body.split()[-1:] for _ in range(2)]
        except OSError:
            return "no", "no second answer"
    return ("yes", "") if bodies == [[b"first"], [b"second"]] else ("no", repr(bodies))


def ask_continue(places: Places) -> Result:
    """A client that waits for status 100 before it sends its body gets it; the note says when."""
    first_answers = {}
    for query in ("read", "unread"):
        with Wire(places) as wire:
            wire.send(f"POST /echo?{query}", "Expect: 100-continue", "Content-Length: 4", "Content-Type: text/plain")
            wire.socket.settimeout(2)
            try:
                answer = wire.answer()
            except TimeoutError:
                first_answers[query] = "silence"
                continue
            first_answers[query] = str(answer.status)
            if query == "read" and answer.status == 100:
                wire.socket.settimeout(PATIENCE)
                wire.socket.sendall(b"body")
                while (final := wire.answer()).status == 100:
                    pass  # Caddy sends a 100 of its own, and passes on the server's
                if final.body != b"body":
                    return "no", f"100, then {final.status}"
    if first_answers["read"] != "100":
        return "no", first_answers["read"]
    return "yes", "always" if first_answers["unread"] == "100" else "when the application reads"


def ask_events(places: Places) -> Result:
    """Server-sent events come as they happen.

    The application makes each event when this client has acknowledged the event before, by a datagram.
    """
    with Wire(places) as wire, socket.socket(type=socket.SOCK_DGRAM) as acknowledgements:
        wire.send("GET /events", "Accept: text/event-stream")
        received = b""
        acknowledged: set[bytes] = set()
        while not (end := re.search(rb"data: acknowledged (\d)", received)):
            line = wire.file.readline()
            if not line:
                return "no", "closed"
            received += line
            if (event := re.match(rb"data: ([\d.]+) (\d+) (\d)", line)) and event[3] not in acknowledged:
                acknowledged.add(event[3])
                acknowledgements.sendto(event[3], (event[1].decode(), int(event[2])))
        return ("yes", "") if end[1] == b"3" else ("no", "held back")


def ask_websocket(places: Places) -> Result:
    """A message comes back over an upgraded HTTP/1.1 connection."""
    host, port = places.http1
    scheme, tls = ("wss", tls_context(["http/1.1"])) if places.http1_has_tls else ("ws", None)

    async def echo() -> Result:
        uri = f"{scheme}://{host}:{port}/ws"
        async with asyncio.timeout(PATIENCE), connect(uri, ssl=tls, open_timeout=None, proxy=None) as websocket:
            await websocket.send("hello")
            return ("yes", "") if await websocket.recv() == "hello" else ("no", "another message")

    try:
        return asyncio.run(echo())
    except (InvalidHandshake, InvalidMessage, OSError, EOFError) as error:
        if response := getattr(error, "response", None):
            return "no", str(response.status_code)
        return "no", "silence" if isinstance(error, TimeoutError) else "closed"


def ask_multiplexing(places: Places) -> Result:
    """The control of http2.ask_multiplexing: the same two requests, pipelined on one HTTP/1.1 connection."""
    with Wire(places) as wire:
        wire.socket.sendall(2 * f"GET /meet HTTP/1.1\r\nHost: {wire.host}\r\n\r\n".encode())
        bodies = [wire.answer().body for _ in range(2)]
    return ("yes" if bodies == [b"met", b"met"] else "no"), " ".join(body.decode()[:9] for body in bodies)
