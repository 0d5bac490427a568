"""A server that counts the requests that reach it and answers most of them badly. It runs in a container as the app.

The first part of the path names the fault, and the rest makes the path unique:

    /close      reads the request and closes without an answer
    /reset      the same, with a reset
    /half       closes within the status line
    /early      closes before it reads the body
    /status/N   answers with the status N and closes
    /hold       answers after 300 ms and keeps the connection
    /leave      closes the listening socket, then every connection, without an answer; a server that `stays` answers 200

Every reply may be kept by a cache.

Port 8001 answers every request with the counts: a JSON object of paths. A request there makes a server listen again
that has left. Standard library only.
"""

import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import BinaryIO

STAYS = "stays" in sys.argv
counts: Counter[str] = Counter()
site = socket.socket()  # the listening socket of the site
connections: set[socket.socket] = set()  # those of the site
is_back = threading.Event()


def read_head(stream: BinaryIO) -> tuple[str, str, dict[str, str]]:
    """The method, the path and the headers of the next request; OSError where the client has closed."""
    request_line = stream.readline().decode("latin-1")
    if not request_line:
        raise OSError("closed")
    method, path, _ = request_line.split(" ")
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return method, path, headers


def read_body(stream: BinaryIO, headers: dict[str, str]) -> None:
    """Reads a body to its end; ValueError where a chunk has no size."""
    stream.read(int(headers.get("content-length", 0)))
    if "transfer-encoding" in headers:
        while size := int(stream.readline(), 16):
            stream.read(size + 2)
        stream.readline()


def write_reply(connection: socket.socket, method: str, status: str, body: bytes, keep: bool) -> None:
    """Sends a complete reply."""
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n"
        "Cache-Control: public, max-age=60\r\n\r\n"
    )
    connection.sendall(head.encode() + (b"" if method == "HEAD" else body))


def answer(connection: socket.socket, stream: BinaryIO) -> bool:
    """Answers one request, with its fault; whether the connection stays."""
    method, path, headers = read_head(stream)
    fault, _, rest = path.lstrip("/").partition("/")
    if connection.getsockname()[1] == 8001:
        is_back.set()
        write_reply(connection, method, "200", json.dumps(counts).encode(), False)
        return False
    counts[path] += 1
    if fault != "early":
        read_body(stream, headers)
    if fault == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif fault == "half":
        connection.sendall(b"HTTP/1.1 200 O")
    elif fault == "hold":
        time.sleep(0.3)
        write_reply(connection, method, "200", b"x", True)
    elif fault == "leave" and not STAYS:
        for each in (site, *connections):  # the next connection is refused, and `accept` ends
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
    elif fault not in ("close", "early"):
        write_reply(connection, method, rest.partition("/")[0] if fault == "status" else "200", b"x", False)
    return fault == "hold"


def serve_connection(connection: socket.socket) -> None:
    """Answers every request of one connection."""
    if connection.getsockname()[1] != 8001:
        connections.add(connection)
    with connection, connection.makefile("rb") as stream, suppress(OSError, ValueError):
        while answer(connection, stream):
            pass
    connections.discard(connection)


def accept_connections(listener: socket.socket) -> None:
    """Serves a port until its listening socket is shut, with a thread for each connection."""
    with listener:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    counter = socket.create_server(("", 8001), backlog=128)
    threading.Thread(target=accept_connections, args=(counter,), daemon=True).start()
    while True:
        site = socket.create_server(("", 8000), backlog=128)
        accept_connections(site)
        is_back.clear()
        is_back.wait()
