"""`make streams`: what a client sees of a stream and of a WebSocket, on every server behind every proxy.

pytest runs this file only where it is named. Each server is measured behind all proxies at once, because a silence and
a stop take their time. A server of one request at a time is measured behind one proxy after the other.
"""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from apps.runtime import serve
from tests.support.conditions import read_conditions
from tests.support.engine import stop
from tests.support.stack import PROXIES, StackUnderTest
from tests.test_bounds import ECHO, PING, get, read_all, upgrade
from tests.test_streams import PAUSE, arrivals
from tools import streams

READ_TIMEOUT, SILENCE, GRACE = 6, 8, 5  # seconds
NAMES = ("READ_TIMEOUT", "silence", "GRACE")
EVENTS = f"/events/2?pause=10&last={SILENCE * 1000}"
LAST = b"data: event 1"
STOPPED = "/stream/15?pause=200"  # three seconds, of which one is over at the stop
CLOSE = b"\x88"  # the first byte of a close frame
NO_FRAME = 1006
# More workers where a worker has one request at a time.
WORKERS = {"gunicorn-sync": "6"}


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """A stack of its own, whose proxies have a short READ_TIMEOUT."""
    folder = tmp_path_factory.mktemp("streams")
    stack = StackUnderTest(f"streams-{os.getpid()}", folder, PROXIES, READ_TIMEOUT=str(READ_TIMEOUT))
    with stack.running():
        yield stack


@pytest.fixture(scope="module")
def cells() -> list[streams.Cell]:
    """What was measured so far."""
    return []


def start(stack: StackUnderTest, server: str, interface: str) -> None:
    """Starts the server anew, with a short GRACE."""
    stack.serve(server, interface, GRACE=str(GRACE), WORKERS=WORKERS.get(server, ""))


def batches(server: str, interface: str) -> list[tuple[str, ...]]:
    """The proxies that are measured at the same time."""
    workers = serve.facts(serve.SERVERS / interface / f"{server}.sh")["workers"]
    return [(proxy,) for proxy in PROXIES] if "one request at a time" in workers else [PROXIES]


def describe_reply(answer: bytes, end: bytes) -> str:
    """How a reply ended: `end` is in its last piece, and an empty chunk ends a complete reply.

    In a reply without chunks (wsgiref behind HAProxy) a client cannot tell an early end from a complete reply.
    """
    head, _, body = answer.partition(b"\r\n\r\n")
    if head[9:12] != b"200":
        return head[9:12].decode() or "no reply"
    is_complete = b"chunked" not in head.lower() or body.endswith(b"0\r\n\r\n")
    return "whole" if end in body and is_complete else "ended early" if is_complete else "cut"


def read_close_code(connection: socket.socket) -> int:
    """The code of the close frame, which is answered; 1006 where the connection ends without one."""
    try:
        frame = connection.recv(200)
        if not frame.startswith(CLOSE):
            return NO_FRAME
        connection.sendall(b"\x88\x82\x00\x00\x00\x00" + frame[2:4])
    except OSError:
        return NO_FRAME
    return int.from_bytes(frame[2:4])


def has_stayed(connection: socket.socket) -> bool:
    """Whether a WebSocket still echoes. The server's own pings may come before the echo."""
    try:
        connection.sendall(PING)
        received = b""
        while ECHO not in received and (piece := connection.recv(100)):
            received += piece
    except OSError:
        return False
    return ECHO in received


def open_all(stack: StackUnderTest, sockets: ExitStack, proxies: tuple[str, ...], path: str) -> list[socket.socket]:
    """A connection through each proxy, with a request or, for the path `/ws`, a WebSocket that has echoed."""
    connections: list[socket.socket] = []
    for proxy in proxies:
        connection = sockets.enter_context(stack.socket(proxy))
        connection.settimeout(SILENCE + 10)
        if path == "/ws":
            assert b" 101 " in upgrade(connection, path), proxy
            assert has_stayed(connection), proxy
        else:
            connection.sendall(get(path))
        connections.append(connection)
    return connections


def measure_silence(stack: StackUnderTest, proxies: tuple[str, ...], has_websocket: bool) -> list[dict[str, str]]:
    """`events` and `websocket` behind each proxy."""
    with ExitStack() as sockets, ThreadPoolExecutor(len(PROXIES)) as pool:
        silent = open_all(stack, sockets, proxies if has_websocket else (), "/ws")
        answers = list(pool.map(read_all, open_all(stack, sockets, proxies, EVENTS)))
        time.sleep(1)
        stayed = ["stays" if has_stayed(connection) else "closed" for connection in silent] or [""] * len(proxies)
    replies = (describe_reply(answer, LAST) for answer in answers)
    return [{"events": reply, "websocket": state} for reply, state in zip(replies, stayed, strict=True)]


def measure_stop(stack: StackUnderTest, proxies: tuple[str, ...], has_websocket: bool) -> list[dict[str, str]]:
    """`stop` and `code` behind each proxy."""
    with ExitStack() as sockets, ThreadPoolExecutor(2 * len(PROXIES) + 1) as pool:
        idle = open_all(stack, sockets, proxies if has_websocket else (), "/ws")
        flying = [pool.submit(read_all, connection) for connection in open_all(stack, sockets, proxies, STOPPED)]
        codes = [pool.submit(read_close_code, connection) for connection in idle]
        time.sleep(1)
        assert not any(reply.done() for reply in flying), "no stream was in flight"
        stop(stack.app())
        stack.serving = None
        ends = [describe_reply(reply.result(), b"chunk 14\n") for reply in flying]
        numbers = [str(code.result()) for code in codes] or [""] * len(proxies)
    return [{"stop": end, "code": code} for end, code in zip(ends, numbers, strict=True)]


def measure_delay(stack: StackUnderTest, proxy: str) -> int:
    """The least of two delays of the first piece, in milliseconds."""
    moments = [next(arrivals(stack, proxy, "GET", "events", "identity")) for _ in range(2)]
    return round((min(moments) - PAUSE) * 1000)


@pytest.mark.parametrize("pair", serve.pairs(), ids="-".join)
def test_measure(testbed: StackUnderTest, cells: list[streams.Cell], pair: tuple[str, str], capsys: Any) -> None:
    server, interface = pair
    began = time.monotonic()
    start(testbed, server, interface)
    has_websocket = interface == "asgi"
    delays = {proxy: measure_delay(testbed, proxy) for proxy in PROXIES}
    silences: dict[str, dict[str, str]] = {}
    stops: dict[str, dict[str, str]] = {}
    for batch in batches(server, interface):
        silences |= dict(zip(batch, measure_silence(testbed, batch, has_websocket), strict=True))
    for number, batch in enumerate(batches(server, interface)):
        if number:
            start(testbed, server, interface)
        stops |= dict(zip(batch, measure_stop(testbed, batch, has_websocket), strict=True))
    for proxy in PROXIES:
        cell: Any = {"server": server, "interface": interface, "proxy": proxy, "delay": delays[proxy]}
        cells.append(cell | silences[proxy] | stops[proxy])
    place = serve.pairs().index(pair) + 1
    with capsys.disabled():
        last = " | ".join(streams.describe(cell) for cell in cells[-len(PROXIES) :])
        seconds = f"{time.monotonic() - began:.0f} s"
        print(f"\nstreams: {place} of {len(serve.pairs())}: {server} {interface} ({seconds}): {last}", flush=True)


def test_record(testbed: StackUnderTest, cells: list[streams.Cell], pytestconfig: pytest.Config) -> None:
    assert len(cells) == len(serve.pairs()) * len(PROXIES), "only a complete run is recorded"
    times = dict(zip(NAMES, (READ_TIMEOUT, SILENCE, GRACE), strict=True))
    streams.write(cells, times, read_conditions(pytestconfig))
