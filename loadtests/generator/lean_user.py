"""A Locust user that costs little: one kept connection, a request written once, and a schedule of its own.

Locust's own clients build every request and take every answer apart with all that HTTP allows. This one knows what it
asks for: it checks the status and the whole body of every answer, enters it into Locust's statistics, and does nothing
else. HTTP/1.1, with or without TLS.

The schedule is open: a user asks when its next request is due, and not when the last one was answered. An answer's time
counts from when its request was due, if the user was still waiting for the one before: else a slow server would be
asked less often just when it is slow ("coordinated omission": Gil Tene, "How NOT to measure latency").
"""

import math
import socket
import ssl
from array import array
from collections.abc import Mapping
from functools import cache
from time import perf_counter
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from locust import User, task
from locust.exception import StopUser

CA = "/certs/ca.pem"  # the stack's own authority
PATIENCE = 10.0  # seconds for an answer
READY = 2.0  # seconds to be connected before the first request is due
HEAD_END = b"\r\n\r\n"


class WrongAnswer(Exception):
    """An answer that is not the one the scenario expects; its text names the kind, the same for every such answer."""


FAULTS = (OSError, ValueError, WrongAnswer)  # ValueError: what should be a number is none


@cache
def trust() -> ssl.SSLContext:
    """Verifies the proxies' certificates. No session is kept: each connection pays for a whole handshake."""
    return ssl.create_default_context(cafile=CA)


class LeanUser(User):
    """What a scenario says of its requests, and how they are sent.

    `reply` is the exact body; an answer counts as `messages` requests. With `keep` a connection serves the next
    request, too; with `hold` it stays open after the last one, until `let_go`. `rate` is one user's requests a second,
    0 for the next as soon as the last is answered; `turns` users take turns in the period.

    Whoever runs the users may have them wait, connected, for `go`, and knows by `count` how many do. `begin` and `end`
    are moments of `perf_counter`; `taken` collects the time of every good answer.
    """

    abstract = True
    method = "GET"
    path = "/"
    headers: Mapping[str, str] = MappingProxyType({})
    body = b""
    status = 200
    reply = b""
    messages = 1
    keep = True
    hold = False

    rate = 10.0
    go = Event()
    go.set()
    begin, end = 0.0, math.inf
    turns: ClassVar[int] = 16
    taken: ClassVar[array[float]] = array("d")
    count: ClassVar[int] = 0
    held: ClassVar[list[socket.socket]] = []

    def on_start(self) -> None:
        """Writes the request, and connects; if that fails, the first request tries again."""
        self.url = urlsplit(self.host or "http://app:8000")
        self.tls = self.url.scheme == "https"
        head = [f"{self.method} {self.path} HTTP/1.1", f"Host: {self.url.netloc}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method == "POST":
            head.append(f"Content-Length: {len(self.body)}")
        self.request = "\r\n".join([*head, "", ""]).encode() + self.body
        self.good, self.ending = b"HTTP/1.1 %d" % self.status, HEAD_END + self.reply
        self.usual, self.asked = 0, 0.0
        self.connection: socket.socket | None = None
        place = socket.getaddrinfo(self.url.hostname, self.url.port or 80, type=socket.SOCK_STREAM)[0]
        self.family, self.address = place[0], place[4]
        self.guard = gevent.spawn(self.watch)
        hub = gevent.get_hub()
        self.wait, self.watcher = hub.wait, hub.loop.io
        try:
            if self.keep:
                self.connect(READY)
        except FAULTS:
            self.close()

    @task
    def ask(self) -> None:
        """Every request of this user, in time."""
        log, times, length = self.environment.stats.log_request, self.taken, len(self.reply)
        turn = LeanUser.count / self.turns % 1
        LeanUser.count += 1
        self.go.wait()
        period = 1 / self.rate if self.rate else 0.0
        due = (self.begin or perf_counter()) + period * turn
        while due < self.end:
            now = perf_counter()
            if now >= self.end:
                break
            began = due
            if now < due:
                gevent.sleep(due - now)
                began = perf_counter()  # it was idle: how late the timer is, is not the server's
            elif not period:
                began = now
            self.asked = max(now, began)
            try:
                self.exchange()
            except FAULTS as error:
                self.failed(error)
            else:
                took = (perf_counter() - began) / self.messages
                times.append(took)
                log(self.method, self.path, took * 1000, length)
            self.asked = 0.0
            due = due + period if period else perf_counter()
        raise StopUser

    def on_stop(self) -> None:
        """Closes, or leaves that to `let_go`."""
        self.guard.kill(block=False)
        if self.hold and self.connection:
            self.held.append(self.connection)
        else:
            self.close()

    @classmethod
    def let_go(cls) -> None:
        """Closes what was held open."""
        while cls.held:
            cls.held.pop().close()

    def watch(self) -> None:
        """Ends the connection that has kept the user waiting for too long: cheaper than a timer for each request."""
        while True:
            gevent.sleep(PATIENCE / 10)
            if self.connection and self.late():
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def late(self) -> bool:
        """Whether the user has waited for too long."""
        return self.asked > 0 and perf_counter() - self.asked > PATIENCE

    def failed(self, error: Exception) -> None:
        """Counts an error by its kind; the connection is not used again."""
        self.close()
        what = str(error) if isinstance(error, WrongAnswer) else type(error).__name__
        self.note(f"no answer in {PATIENCE:.0f} s" if self.late() else what)

    def note(self, what: str) -> None:
        """Counts an error."""
        self.environment.stats.log_request(self.method, self.path, 0, 0)
        self.environment.stats.log_error(self.method, self.path, what)

    def dial(self, patience: float = PATIENCE) -> socket.socket:
        """A new connection."""
        connection = socket.socket(self.family)
        connection.settimeout(patience)
        connection.connect(self.address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            connection = trust().wrap_socket(connection, server_hostname=self.url.hostname)
        connection.settimeout(PATIENCE)
        return connection

    def connect(self, patience: float = PATIENCE) -> socket.socket:
        """A new connection, for the next requests."""
        self.connection = self.dial(patience)
        self.readable = self.watcher(self.connection.fileno(), 1)
        return self.connection

    def close(self) -> None:
        """Ends the connection."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def exchange(self) -> None:
        """One request and its whole answer; WrongAnswer says what is wrong.

        An answer as long as the last one that was taken apart, with the same status before and the same body behind, is
        not taken apart anew.
        """
        connection = self.connection or self.connect()
        if (sent := connection.send(self.request)) < len(self.request):
            connection.sendall(memoryview(self.request)[sent:])
        self.wait(self.readable)  # at once: a first look would find nothing
        data = connection.recv(65536)
        if len(data) != self.usual or not data.startswith(self.good) or not data.endswith(self.ending):
            self.usual = self.read(connection, data)
        if not self.keep:
            self.close()

    def read(self, connection: socket.socket, data: bytes) -> int:
        """Takes an answer apart; its size, or 0 where the next one may be of another size.

        Closes the connection where the server says that it will.
        """
        while (end := data.find(HEAD_END)) < 0:
            data += piece(connection)
        head, body = data[:end].lower() + b"\r\n", data[end + 4 :]
        if head[8:12] != b" %d" % self.status:
            raise WrongAnswer(f"status {head[9:12].decode('latin-1')}")
        size = 0
        if (at := head.find(b"\r\ncontent-length:")) >= 0:
            length = int(head[at + 17 : head.find(b"\r\n", at + 17)])
            size = end + 4 + length
            if len(body) < length:
                body += rest(connection, length - len(body))
        else:
            body = unannounced(connection, head, body)
        if body != self.reply:
            raise WrongAnswer(f"{len(body)} bytes in place of {len(self.reply)}, or others")
        if b"\r\nconnection: close\r\n" in head or head.startswith(b"http/1.0"):
            self.close()
            return 0 if self.keep else size
        return size


def piece(connection: socket.socket) -> bytes:
    """What comes next."""
    data = connection.recv(65536)
    if not data:
        raise WrongAnswer("closed without a whole answer")
    return data


def rest(connection: socket.socket, missing: int) -> bytes:
    """The next `missing` bytes."""
    found = bytearray(missing)
    view, at = memoryview(found), 0
    while at < missing:
        got = connection.recv_into(view[at:])
        if not got:
            raise WrongAnswer("closed without a whole answer")
        at += got
    return bytes(found)


def unannounced(connection: socket.socket, head: bytes, data: bytes) -> bytes:
    """A body without an announced length: in chunks, or up to the end of the connection."""
    if b"\r\ntransfer-encoding: chunked" not in head:
        while more := connection.recv(65536):
            data += more
        return data
    body: list[bytes] = []
    at = 0
    while True:
        while (line := data.find(b"\r\n", at)) < 0:
            data += piece(connection)
        size = int(data[at:line].split(b";")[0], 16)
        at = line + 2 + size + 2
        while len(data) < at:
            data += piece(connection)
        if not size:
            return b"".join(body)
        body.append(data[line + 2 : at - 2])
