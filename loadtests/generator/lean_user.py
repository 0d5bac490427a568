"""A Locust user that costs little: one kept connection, a request written once, and a schedule of its own.

Locust's own clients build every request, and parse every answer with all that HTTP allows. The lean user checks the
status and the whole body of every answer, and enters the answer into Locust's statistics. It speaks HTTP/1.1, with or
without TLS.

The schedule is open: a user asks when its next request is due, whether or not the last one was answered in time. If the
user was still waiting for the last answer, the time counts from the moment when the request was due. If it counted from
the sending, a slow server would be asked less often just while it is slow. This error is called "coordinated omission"
(Gil Tene, "How NOT to measure latency").
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

from loadtests.generator.answers import (
    HEAD_END,
    WrongAnswer,
    receive_body_without_length,
    receive_exactly,
    receive_some,
)

CA = "/certs/ca.pem"  # the stack's own authority
PATIENCE = 10.0  # seconds for an answer
CONNECT_PATIENCE = 2.0  # seconds to be connected before the first request is due
FAULTS = (OSError, ValueError, WrongAnswer)  # ValueError: text where a number should be


@cache
def trust() -> ssl.SSLContext:
    """Verifies the proxies' certificates. No session is kept: each connection pays for a whole handshake."""
    return ssl.create_default_context(cafile=CA)


class LeanUser(User):
    """What a scenario says of its requests, and how they are sent.

    `reply` is the exact body. An answer counts as `messages` requests. With `keep` a connection also serves the next
    request. With `hold` it stays open after the last request, until `close_held`.

    Who runs the users sets the rest. `rate` is one user's requests/s; at 0 it asks again as soon as it has its answer.
    `turns` users take turns in the period. Connected users wait for `go`; `started` counts them. `begin` and `end` are
    moments of `perf_counter`. `times` collects the time of every right answer in seconds.
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
    times: ClassVar[array[float]] = array("d")
    started: ClassVar[int] = 0
    held: ClassVar[list[socket.socket]] = []

    def on_start(self) -> None:
        """Writes the request, and connects; if that fails, the first request tries again."""
        self.url = urlsplit(self.host or "http://app:8000")
        self.tls = self.url.scheme == "https"
        self.request = self.write_request()
        self.status_line, self.answer_end = b"HTTP/1.1 %d" % self.status, HEAD_END + self.reply
        self.usual_size, self.asked_at = 0, 0.0
        self.connection: socket.socket | None = None
        address = socket.getaddrinfo(self.url.hostname, self.url.port or 80, type=socket.SOCK_STREAM)[0]
        self.family, self.address = address[0], address[4]
        self.watchdog = gevent.spawn(self.watch)
        hub = gevent.get_hub()
        self.wait, self.watcher = hub.wait, hub.loop.io
        try:
            if self.keep:
                self.connect(CONNECT_PATIENCE)
        except FAULTS:
            self.close()

    def write_request(self) -> bytes:
        """The bytes of every request of this user."""
        head = [f"{self.method} {self.path} HTTP/1.1", f"Host: {self.url.netloc}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method == "POST":
            head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*head, "", ""]).encode() + self.body

    @task
    def send_requests(self) -> None:
        """Every request of this user, each when it is due."""
        log, times, length = self.environment.stats.log_request, self.times, len(self.reply)
        turn = LeanUser.started / self.turns % 1
        LeanUser.started += 1
        self.go.wait()
        period = 1 / self.rate if self.rate else 0.0
        due = (self.begin or perf_counter()) + period * turn
        while due < self.end:
            now = perf_counter()
            if now >= self.end:
                break
            begin = due
            if now < due:
                gevent.sleep(due - now)
                begin = perf_counter()  # the user was idle, so a late timer is not the server's time
            elif not period:
                begin = now
            self.asked_at = max(now, begin)
            try:
                self.exchange()
            except FAULTS as error:
                self.count_fault(error)
            else:
                duration = (perf_counter() - begin) / self.messages
                times.append(duration)
                log(self.method, self.path, duration * 1000, length)
            self.asked_at = 0.0
            due = due + period if period else perf_counter()
        raise StopUser

    def on_stop(self) -> None:
        """Closes the connection, or leaves that to `close_held`."""
        self.watchdog.kill(block=False)
        if self.hold and self.connection:
            self.held.append(self.connection)
        else:
            self.close()

    @classmethod
    def close_held(cls) -> None:
        """Closes the connections that were held open."""
        while cls.held:
            cls.held.pop().close()

    def watch(self) -> None:
        """Ends a connection on which the user has waited for too long. A timer for each request would cost more."""
        while True:
            gevent.sleep(PATIENCE / 10)
            if self.connection and self.is_late():
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def is_late(self) -> bool:
        """Whether the user has waited for its answer for too long."""
        return self.asked_at > 0 and perf_counter() - self.asked_at > PATIENCE

    def count_fault(self, error: Exception) -> None:
        """Counts an error by its kind, and closes the connection."""
        self.close()
        kind = str(error) if isinstance(error, WrongAnswer) else type(error).__name__
        self.count_error(f"no answer in {PATIENCE:.0f} s" if self.is_late() else kind)

    def count_error(self, kind: str) -> None:
        """Enters an error into Locust's statistics."""
        self.environment.stats.log_request(self.method, self.path, 0, 0)
        self.environment.stats.log_error(self.method, self.path, kind)

    def dial(self, patience: float = PATIENCE) -> socket.socket:
        """A new connection; `patience` is in seconds."""
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

        An answer of the usual size that begins with the right status and ends with the right body is not parsed.
        """
        connection = self.connection or self.connect()
        if (sent := connection.send(self.request)) < len(self.request):
            connection.sendall(memoryview(self.request)[sent:])
        self.wait(self.readable)  # before the first recv, which would find nothing
        data = connection.recv(65536)
        is_usual = len(data) == self.usual_size and data.startswith(self.status_line)
        if not is_usual or not data.endswith(self.answer_end):
            self.usual_size = self.read_answer(connection, data)
        if not self.keep:
            self.close()

    def read_answer(self, connection: socket.socket, data: bytes) -> int:
        """Parses an answer; its size, or 0 where the next answer may have another size.

        Closes the connection where the server says that it will.
        """
        while (end := data.find(HEAD_END)) < 0:
            data += receive_some(connection)
        head, body = data[:end].lower() + b"\r\n", data[end + 4 :]
        if head[8:12] != b" %d" % self.status:
            raise WrongAnswer(f"status {head[9:12].decode('latin-1')}")
        size = 0
        if (place := head.find(b"\r\ncontent-length:")) >= 0:
            length = int(head[place + 17 : head.find(b"\r\n", place + 17)])
            size = end + 4 + length
            if len(body) < length:
                body += receive_exactly(connection, length - len(body))
        else:
            body = receive_body_without_length(connection, head, body)
        if body != self.reply:
            raise WrongAnswer(f"{len(body)} bytes in place of {len(self.reply)}, or others")
        if b"\r\nconnection: close\r\n" in head or head.startswith(b"http/1.0"):
            self.close()
            return 0 if self.keep else size
        return size
