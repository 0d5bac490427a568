"""Reads an HTTP/1.1 answer from a socket, as far as the lean user needs it."""

import socket

HEAD_END = b"\r\n\r\n"
CUT_SHORT = "closed without a whole answer"


class WrongAnswer(Exception):
    """An answer that the scenario does not expect; its text names the kind of error, the same for all of a kind."""


def receive_some(connection: socket.socket) -> bytes:
    """The next bytes; at least one."""
    data = connection.recv(65536)
    if not data:
        raise WrongAnswer(CUT_SHORT)
    return data


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes."""
    data = bytearray(size)
    view, place = memoryview(data), 0
    while place < size:
        count = connection.recv_into(view[place:])
        if not count:
            raise WrongAnswer(CUT_SHORT)
        place += count
    return bytes(data)


def receive_body_without_length(connection: socket.socket, head: bytes, data: bytes) -> bytes:
    """A body whose length the head does not announce: in chunks, or up to the end of the connection.

    `data` are the bytes of the body that came with the head.
    """
    if b"\r\ntransfer-encoding: chunked" not in head:
        while more := connection.recv(65536):
            data += more
        return data
    body: list[bytes] = []
    place = 0
    while True:
        while (line_end := data.find(b"\r\n", place)) < 0:
            data += receive_some(connection)
        size = int(data[place:line_end].split(b";")[0], 16)
        place = line_end + 2 + size + 2
        while len(data) < place:
            data += receive_some(connection)
        if not size:
            return b"".join(body)
        body.append(data[line_end + 2 : place - 2])
