"""HTTP/2, by the h2 library and by curl: each probe answers "yes" or "no", and a note."""

import re
import socket
import subprocess
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .places import PATIENCE, Address, Places, Result, describe_error, run_curl, tls_context, url

NO_ALPN = "no ALPN h2"


class Http2Connection:
    """One HTTP/2 connection, and the events that came on each stream."""

    def __init__(self, place: Address, secure: bool) -> None:
        self.socket: socket.socket = socket.create_connection(place, timeout=PATIENCE)
        if secure:
            self.socket = tls_context(["h2"]).wrap_socket(self.socket, server_hostname=place[0])
            if self.socket.selected_alpn_protocol() != "h2":
                self.socket.close()
                raise ConnectionError(NO_ALPN)
        self.authority, self.scheme = f"{place[0]}:{place[1]}", "https" if secure else "http"
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.events: dict[int, list[Any]] = {}
        self.settings: dict[Any, Any] = {}
        self.sizes: list[int] = []  # of header blocks sent

    def __enter__(self) -> "Http2Connection":
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.close()

    def flush(self) -> int:
        """Sends what is due; returns the number of bytes."""
        data = self.http.data_to_send()
        self.socket.sendall(data)
        return len(data)

    def open(self, path: str, *headers: tuple[str, str], method: str = "GET", end: bool = True) -> int:
        """Sends a request's head; returns its stream. The size of its frame is added to `sizes`."""
        self.flush()
        stream = self.http.get_next_available_stream_id()
        head = [
            (":method", method),
            (":authority", self.authority),
            (":scheme", self.scheme),
            (":path", path),
            *headers,
        ]
        self.http.send_headers(stream, head, end_stream=end)
        self.events[stream] = []
        self.sizes.append(self.flush())
        return stream

    def receive(self) -> None:
        """Reads from the socket once."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionError("not HTTP/2") from error
        for event in events:
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings |= {key: change.new_value for key, change in event.changed_settings.items()}
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise ConnectionError(f"GOAWAY {event.error_code}")
            elif (stream := getattr(event, "stream_id", None)) in self.events:
                self.events[stream].append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.http.acknowledge_received_data(event.flow_controlled_length, stream)
        self.flush()

    def wait_for(self, stream: int, *kinds: Any) -> Any:
        """The first event of one of these kinds on a stream; reads until it has come."""
        while True:
            for event in self.events[stream]:
                if isinstance(event, kinds):
                    return event
            self.receive()

    def get(self, path: str, *headers: tuple[str, str]) -> list[Any]:
        """Sends one GET; all events of its stream."""
        stream = self.open(path, *headers)
        self.wait_for(stream, h2.events.StreamEnded, h2.events.StreamReset)
        return self.events[stream]


def connect(places: Places) -> Http2Connection:
    """A connection over TLS where there is TLS, and by prior knowledge elsewhere."""
    if places.tls:
        return Http2Connection(places.tls, secure=True)
    assert places.clear
    return Http2Connection(places.clear, secure=False)


def body_of(events: list[Any]) -> bytes:
    """The body among the events of a stream."""
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


def ask_alpn(places: Places) -> Result:
    """HTTP/2 is agreed on in the TLS handshake. curl and the h2 library must agree."""
    if not places.tls:
        return "no", "no TLS"
    version, status = run_curl("--http2", url(places.tls, "https"))
    try:
        with Http2Connection(places.tls, secure=True) as connection:
            events = connection.get("/")
            library = next(dict(event.headers)[":status"] for event in events if hasattr(event, "headers"))
    except OSError as error:
        library = str(error)
    if (version == "2") != library.isdigit():
        raise RuntimeError(f"curl saw {version} {status}, the h2 library {library}")
    if version == "2" and library == "200":
        return "yes", ""
    return "no", f"{status} over HTTP/{version}" if library == NO_ALPN else "agreed on, but not spoken"


def ask_prior_knowledge(places: Places) -> Result:
    """HTTP/2 without TLS, from the first byte."""
    if not places.clear:
        return "no", "no port without TLS"
    version, status = run_curl("--http2-prior-knowledge", url(places.clear, "http"))
    return ("yes", "" if status == "200" else status) if version == "2" else ("no", describe_refusal(version, status))


def ask_upgrade(places: Places) -> Result:
    """HTTP/2 without TLS, by `Upgrade: h2c` on an HTTP/1.1 request."""
    if not places.clear:
        return "no", "no port without TLS"
    version, status = run_curl("--http2", url(places.clear, "http"))
    return ("yes", "") if version == "2" else ("no", describe_refusal(version, status))


def describe_refusal(version: str, status: str) -> str:
    """What curl saw in place of HTTP/2."""
    return f"{status} over HTTP/{version}" if version else "no HTTP/2"


def ask_websocket(places: Places) -> Result:
    """A message comes back over a stream of an HTTP/2 connection (RFC 8441)."""
    try:
        connection = connect(places)
        connection.get("/")
    except OSError:
        return "no", "no HTTP/2"
    with connection:
        try:
            if not connection.settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL):
                return "no", "not offered"
            headers = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
            stream = connection.open("/ws", *headers, method="CONNECT", end=False)
            head = connection.wait_for(stream, h2.events.ResponseReceived, h2.events.StreamReset)
            status = dict(getattr(head, "headers", [])).get(":status", "reset")
            if status != "200":
                return "no", f"offered, {status}"
            connection.http.send_data(stream, b"\x81\x85\0\0\0\0hello")  # a masked text frame, its mask zero
            connection.flush()
            while b"\x81\x05hello" not in body_of(connection.events[stream]):
                if any(isinstance(event, h2.events.StreamEnded) for event in connection.events[stream]):
                    return "no", "offered, but handed on as a plain request"
                connection.receive()
        except OSError as error:
            return "no", f"offered, {describe_error(error)}"
    return "yes", ""


def ask_multiplexing(places: Places) -> Result:
    """Two requests on one connection are answered only if the application has both at once.

    The control is http1.ask_multiplexing.
    """
    with connect(places) as connection:
        streams = [connection.open("/meet"), connection.open("/meet")]
        for stream in streams:
            connection.wait_for(stream, h2.events.StreamEnded, h2.events.StreamReset)
        bodies = [body_of(connection.events[stream]) for stream in streams]
    return ("yes" if bodies == [b"met", b"met"] else "no"), " ".join(body.decode()[:9] for body in bodies)


def ask_header_compression(places: Places) -> tuple[str, str, list[int]]:
    """A header that was sent before costs few bytes the second time, and arrives complete. Also the two sizes."""
    long = ("x-long", "0123456789abcdef" * 16)
    with connect(places) as connection:
        connection.get("/")  # the server's settings are in force
        connection.sizes.clear()
        complete = all(body_of(connection.get("/header", long)) == long[1].encode() for _ in range(2))
    return ("yes" if complete and connection.sizes[1] * 2 < connection.sizes[0] else "no"), "", connection.sizes


def run_h2load(places: Places) -> dict[str, str]:
    """What h2load, a third client, reports of 40 requests, 10 at once, on one connection."""
    done = subprocess.run(
        ["h2load", "--requests=40", "--clients=1", "--max-concurrent-streams=10", url(places.tls, "https")],  # type: ignore[arg-type]
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
