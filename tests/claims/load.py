"""A plain asyncio HTTP/1.1 client: who answered, on which connection, and what was lost. Standard library only.

A library would retry, pool or hide the connection, and the connection is what these claims are about.
"""

import asyncio
import json
import ssl
import time
from collections import Counter
from itertools import count
from math import erfc, exp, pi, sqrt
from typing import NamedTuple

PATIENCE = 20.0
LOST = (OSError, EOFError, ValueError, IndexError, TimeoutError)


class Target(NamedTuple):
    """Where to connect; `tls` for a proxy's site."""

    host: str
    port: int = 8000
    tls: ssl.SSLContext | None = None


class Answer(NamedTuple):
    """One answer; status 0 is a request that was lost, and `error` says how."""

    status: int
    body: bytes
    connection: int
    done: float
    error: str = ""

    @property
    def pid(self) -> int:
        """Who answered `/process`."""
        return int(json.loads(self.body)["pid"]) if self.status == 200 else 0


class Connection:
    """One connection; `open` turns false when the server announces its end."""

    numbers = count(1)

    def __init__(self, target: Target) -> None:
        self.target = target
        self.number = next(self.numbers)
        self.open = False

    async def connect(self) -> "Connection":
        """Opens it."""
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
        """The answer to what was sent."""
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
        """One GET; an answer in any case."""
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
        """Closes it."""
        self.open = False
        if hasattr(self, "writer"):
            self.writer.close()


async def once(target: Target, path: str, patience: float = PATIENCE) -> Answer:
    """One GET on a connection of its own."""
    return await Connection(target).get(path, close=True, patience=patience)


async def run(
    target: Target,
    path: str,
    concurrency: int,
    keep_alive: bool,
    requests: int = 1_000_000,
    seconds: float = 600,
    pause: float = 0,
) -> list[Answer]:
    """GETs from `concurrency` clients at a time, until `requests` are asked or `seconds` are over."""
    answers: list[Answer] = []
    left, until = iter(range(requests)), time.monotonic() + seconds

    async def client() -> None:
        connection = Connection(target)
        for _ in left:
            if time.monotonic() > until:
                break
            if not keep_alive or not connection.open:
                connection = Connection(target)
            answers.append(await connection.get(path, close=not keep_alive))
            if pause:
                await asyncio.sleep(pause)
        connection.end()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return answers


def shares(answers: list[Answer], workers: list[int]) -> list[int]:
    """How many requests each worker answered, the busiest first."""
    counts = Counter(answer.pid for answer in answers)
    return sorted((counts.pop(pid, 0) for pid in workers), reverse=True) + sorted(counts.values())


def chi_square(counts: list[int]) -> float:
    """Pearson's statistic of these counts against even ones."""
    even = sum(counts) / len(counts)
    return sum((count - even) ** 2 / even for count in counts)


def chance_of_4(statistic: float) -> float:
    """How likely even chance makes four counts at least that uneven: the chi-square survival function at 3 degrees."""
    return erfc(sqrt(statistic / 2)) + sqrt(2 * statistic / pi) * exp(-statistic / 2)
