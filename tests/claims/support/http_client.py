"""A plain asyncio HTTP/1.1 client: which process answered, on which connection, and which requests were lost.

The claims are about connections. An HTTP library would retry, pool or hide them. Standard library only.
"""

import asyncio
import json
import ssl
import time
from itertools import count
from typing import Any, NamedTuple

PATIENCE = 20.0  # seconds until a request counts as lost
LOST = (OSError, EOFError, ValueError, IndexError, TimeoutError)


class Target(NamedTuple):
    """Where to connect; `tls` is set for a proxy's site."""

    host: str
    port: int = 8000
    tls: ssl.SSLContext | None = None


class Answer(NamedTuple):
    """One answer. Status 0 means that the request was lost; `error` is the reason. `done`: seconds, monotonic."""

    status: int
    body: bytes
    connection: int
    done: float
    error: str = ""

    @property
    def pid(self) -> int:
        """The process that answered `/process`; 0 where the request was lost."""
        return int(json.loads(self.body)["pid"]) if self.status == 200 else 0


class Connection:
    """One connection; `open` becomes false when the server announces that it closes the connection."""

    numbers = count(1)

    def __init__(self, target: Target) -> None:
        self.target = target
        self.number = next(self.numbers)
        self.open = False

    async def connect(self) -> "Connection":
        """Opens the connection."""
        name = "localhost" if self.target.tls else None
        self.reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection(self.target.host, self.target.port, ssl=self.target.tls, server_hostname=name),
            PATIENCE,
        )
        self.open = True
        return self

    async def send(self, path: str, close: bool = False) -> None:
        """Sends a GET."""
        end = "Connection: close\r\n" if close else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{end}\r\n".encode())
        await self.writer.drain()

    async def read(self, patience: float = PATIENCE) -> Answer:
        """Reads the answer to the request that was sent."""
        return await asyncio.wait_for(self._read(), patience)

    async def _read(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip().lower() for name, _, value in pairs}
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
        else:
            body = await self.reader.read()
        status = int(head[0].split()[1])
        self.open = headers.get("connection") != "close" and not head[0].startswith("HTTP/1.0")
        return Answer(status, body, self.number, time.monotonic())

    async def get(self, path: str, close: bool = False, patience: float = PATIENCE) -> Answer:
        """Sends one GET and returns an answer in any case: a lost request has status 0."""
        try:
            if not self.open:
                await self.connect()
            await self.send(path, close)
            answer = await self.read(patience)
        except LOST as error:
            self.end()
            return Answer(0, b"", self.number, time.monotonic(), type(error).__name__)
        if close or not self.open:
            self.end()
        return answer

    def end(self) -> None:
        """Closes the connection."""
        self.open = False
        if hasattr(self, "writer"):
            self.writer.close()


async def get_once(target: Target, path: str, patience: float = PATIENCE) -> Answer:
    """Sends one GET on a connection of its own."""
    return await Connection(target).get(path, close=True, patience=patience)


async def run_clients(
    target: Target,
    path: str,
    concurrency: int,
    keep_alive: bool,
    requests: int = 1_000_000,
    seconds: float = 600,
    pause: float = 0,
) -> list[Answer]:
    """Sends GETs from `concurrency` clients at a time, until `requests` are sent or `seconds` have passed.

    `pause` is the time in seconds that each client waits after an answer.
    """
    answers: list[Answer] = []
    remaining, until = iter(range(requests)), time.monotonic() + seconds

    async def run_client() -> None:
        connection = Connection(target)
        for _ in remaining:
            if time.monotonic() > until:
                break
            if not keep_alive or not connection.open:
                connection = Connection(target)
            answers.append(await connection.get(path, close=not keep_alive))
            if pause:
                await asyncio.sleep(pause)
        connection.end()

    await asyncio.gather(*(run_client() for _ in range(concurrency)))
    return answers


def send_gets(target: Target, path: str, concurrency: int, keep_alive: bool, **bounds: Any) -> list[Answer]:
    """`run_clients` for callers outside an event loop."""
    return asyncio.run(run_clients(target, path, concurrency, keep_alive, **bounds))
