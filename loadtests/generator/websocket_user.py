"""A user that sends messages over a WebSocket, and wants each back."""

import base64
import hashlib
import os
import socket

from loadtests.generator.answers import HEAD_END, WrongAnswer, receive_some
from loadtests.generator.lean_user import PATIENCE, LeanUser

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, PING, PONG = 0x81, 0x89, 0x8A  # the first byte of a frame, which is the last of its message


def write_frame(kind: int, content: bytes) -> bytes:
    """A client's frame of up to 125 bytes, masked, as every client's must be (RFC 6455, 5.3)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
    return bytes([kind, 0x80 | len(content)]) + mask + masked


class WebSocketUser(LeanUser):
    """Sends `body` over a WebSocket, as text, and wants it back."""

    abstract = True
    path = "/ws"
    hold = True

    def on_start(self) -> None:
        """Writes the frame and the one that must come back, and connects."""
        self.frame, self.echo = write_frame(TEXT, self.body), bytes([TEXT, len(self.body)]) + self.body
        super().on_start()

    def connect(self, patience: float = PATIENCE) -> socket.socket:
        """A new connection, with its opening handshake."""
        connection, key = super().connect(patience), base64.b64encode(os.urandom(16))
        head = f"GET {self.path} HTTP/1.1\r\nHost: {self.url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n\r\n".encode())
        data = receive_some(connection)
        while not data.endswith(HEAD_END):
            data += receive_some(connection)
        proof = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        if data[8:12] != b" 101" or proof not in data:
            raise WrongAnswer(f"no WebSocket: status {data[9:12].decode('latin-1')}")
        return connection

    def exchange(self) -> None:
        """One message there and back; answers the server's pings."""
        connection = self.connection or self.connect()
        connection.send(self.frame)
        self.wait(self.readable)
        data = connection.recv(65536)
        while data != self.echo:
            is_ping = data[:1] == bytes([PING])
            if is_ping and len(data) >= 2 + data[1]:
                connection.send(write_frame(PONG, data[2 : 2 + data[1]]))
                data = data[2 + data[1] :] or receive_some(connection)
            elif len(data) < len(self.echo) and (is_ping or self.echo.startswith(data)):
                data += receive_some(connection)
            else:
                raise WrongAnswer(f"{len(data)} bytes in place of the echo")
