"""Users that do more than ask and be answered: WebSockets, and slow clients beside the usual ones."""

import base64
import hashlib
import os
import socket
from time import perf_counter

import gevent

from loadtests.generator.lean_user import HEAD_END, PATIENCE, READY, LeanUser, WrongAnswer, piece

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
PING, PONG = 0x89, 0x8A


def frame(kind: int, content: bytes) -> bytes:
    """A client's frame of up to 125 bytes, masked, as every client's must be (RFC 6455, 5.3)."""
    mask = os.urandom(4)
    return bytes([kind, 0x80 | len(content)]) + mask + bytes(one ^ mask[n % 4] for n, one in enumerate(content))


class SocketUser(LeanUser):
    """Sends `body` over a WebSocket, as text, and wants it back."""

    abstract = True
    path = "/ws"
    hold = True

    def on_start(self) -> None:
        """Writes the frame and the one that must come back, and connects."""
        self.sent, self.echo = frame(0x81, self.body), bytes([0x81, len(self.body)]) + self.body
        super().on_start()

    def connect(self, patience: float = PATIENCE) -> socket.socket:
        """A new connection, with its opening handshake."""
        connection, key = super().connect(patience), base64.b64encode(os.urandom(16))
        head = f"GET {self.path} HTTP/1.1\r\nHost: {self.url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n\r\n".encode())
        data = piece(connection)
        while not data.endswith(HEAD_END):
            data += piece(connection)
        proof = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        if data[8:12] != b" 101" or proof not in data:
            raise WrongAnswer(f"no WebSocket: status {data[9:12].decode('latin-1')}")
        return connection

    def exchange(self) -> None:
        """One message there and back."""
        connection = self.connection or self.connect()
        connection.send(self.sent)
        self.wait(self.readable)
        data = connection.recv(65536)
        while data != self.echo:
            if data[:1] == bytes([PING]) and len(data) >= 2 + data[1]:
                connection.send(frame(PONG, data[2 : 2 + data[1]]))
                data = data[2 + data[1] :] or piece(connection)
            elif len(data) < len(self.echo) and (data[:1] == bytes([PING]) or self.echo.startswith(data)):
                data += piece(connection)
            else:
                raise WrongAnswer(f"{len(data)} bytes in place of the echo")


class BesideSlowUser(LeanUser):
    """Asks while slow clients are there: `companions` in all, of which every user brings its share.

    A slow client sends a request's head and then a byte of its body now and then, until the end.
    """

    abstract = True
    companions = 0
    clients = 16
    pause = 0.2  # seconds between two bytes

    def on_start(self) -> None:
        """Connects the slow clients, then itself."""
        super().on_start()
        head = f"POST /upload HTTP/1.1\r\nHost: {self.url.netloc}\r\nContent-Length: 1000000\r\n\r\n".encode()
        self.slow: list[socket.socket] = []
        try:
            for _ in range(self.companions // self.clients):
                self.slow.append(self.dial(READY))
                self.slow[-1].sendall(head)
        except OSError as error:
            self.note(f"a slow client found no place: {type(error).__name__}")
        self.dripping = gevent.spawn(self.drip)

    def drip(self) -> None:
        """A byte of each, again and again, until the end: then they go."""
        while (left := self.end - perf_counter()) > 0:
            gevent.sleep(min(self.pause, left))
            for one in list(self.slow):
                try:
                    one.send(b"x")
                except OSError:
                    self.slow.remove(one)
                    self.note("a slow client was cut off")
        self.leave()

    def leave(self) -> None:
        """The slow clients go."""
        while self.slow:
            self.slow.pop().close()

    def on_stop(self) -> None:
        """They go with their user."""
        self.dripping.kill(block=False)
        self.leave()
        super().on_stop()
