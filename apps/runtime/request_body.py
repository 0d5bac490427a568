"""The body of a request, made equal under every server: a broken upload is an error, and an early answer arrives.

Some servers end a body as if it were complete when the client leaves. Here such a body ends in `ConnectionError` (WSGI)
or `http.disconnect` (ASGI).

Some servers close the connection after a reply although a part of the body is unread. Then the kernel resets the
connection, and the proxy loses the reply: 502. So the rest is read before the reply begins, at most MOST_BYTES, for
MOST_SECONDS. Later would not do: NGINX sends no more of a body when a reply begins. Where an application streams
a reply while it reads the body, nothing is read for it.

Checked by: test_a_broken_upload_is_an_error, test_an_early_answer_arrives
"""

import asyncio
import io
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

MOST_BYTES = int(os.environ.get("BODY_LIMIT") or 10) * 2**20  # the proxies' limit of a body
MOST_SECONDS = 20  # shorter than the 30 s after which gunicorn replaces a silent worker
STEP = 65536
UNKNOWN = -1  # the length of a chunked body


def read_length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The length of the body that the headers of an ASGI scope announce; 0 where there is none."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":
            return UNKNOWN
    return 0


class AsgiBody:
    """The `receive` and the `send` of one request with a body."""

    def __init__(self, length: int, receive: Any, send: Any) -> None:
        self.missing = length
        self.server_receive, self.server_send = receive, send
        self.is_begun = self.is_over = self.is_receiving = self.is_answered = False
        self.start: Any = None  # the start of the reply, which waits for the first piece
        self.first_piece = asyncio.Lock()  # two tasks of the application may send at the same time

    async def receive(self) -> Any:
        """The next event. A body that ends before its announced length ends with `http.disconnect`."""
        self.is_begun = self.is_receiving = True
        try:
            event = await self.server_receive()
        finally:
            self.is_receiving = False
        if event["type"] != "http.request":
            self.is_over = True
            return event
        self.missing -= len(event.get("body", b""))
        if event.get("more_body", False):
            return event
        self.is_over = True
        return {"type": "http.disconnect"} if self.missing > 0 else event

    async def send(self, event: Any) -> None:
        """Sends an event. The start of a reply waits for the first piece, and that for the rest of the body."""
        if event["type"] == "http.response.start" and not self.is_over:
            self.start = event
            return
        if not self.is_answered:
            async with self.first_piece:
                if not self.is_answered:
                    await self.begin_reply(event)
        await self.server_send(event)

    async def begin_reply(self, event: Any) -> None:
        """Sends the start of the reply, after the rest of the body where the first piece `event` needs that."""
        if not self.is_over and (not self.is_begun or self.completes(event)):
            await self.drain()
        if self.start:
            await self.server_send(self.start)
        self.is_answered = True

    def completes(self, event: Any) -> bool:
        """Whether the first piece of the reply is also the last, by itself or by the announced length."""
        if not event.get("more_body", False):
            return True
        headers = ((name.lower(), value) for name, value in self.start.get("headers", ()))
        return read_length(headers) == len(event.get("body", b""))

    async def drain(self) -> None:
        """Reads the rest of the body, where no reply has begun."""
        enough = self.missing - MOST_BYTES
        try:
            async with asyncio.timeout(MOST_SECONDS):
                while not (self.is_over or self.is_answered) and self.missing > enough:
                    # Where the application itself waits for an event, two calls would compete.
                    await (asyncio.sleep(0.01) if self.is_receiving else self.receive())
        except TimeoutError:
            pass
        self.is_over = True


class WsgiBody(io.RawIOBase):
    """The `wsgi.input` of one request with a body, without a buffer."""

    def __init__(self, length: int, stream: Any) -> None:
        self.missing = length
        self.stream = stream
        self.is_begun = self.is_over = False
        self.reply_length = UNKNOWN

    def readable(self) -> bool:
        """A stream to read from."""
        return True

    def take(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the body. ConnectionError where the client left before the end."""
        self.is_begun = True
        size = size if self.missing < 0 else min(size, self.missing)
        data = self.stream.read(size) if size and not self.is_over else b""
        if self.missing >= 0:
            if size and not data:
                self.is_over = True
                raise ConnectionError("the client left before the end of its body")
            self.missing -= len(data)
        self.is_over = not self.missing or not data
        return data

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer, and returns the number of bytes."""
        data = self.take(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def drain(self) -> None:
        """Reads the rest of the body."""
        end, count = time.monotonic() + MOST_SECONDS, 0
        try:
            while not self.is_over and count < MOST_BYTES and time.monotonic() < end:
                count += len(self.take(STEP))
        except Exception:  # noqa: S110 - the application has answered, so the error would reach nobody
            pass
        self.is_over = True


class WsgiReply:
    """The pieces of a reply, of which the first is made at once. Then the rest of the request's body is read."""

    def __init__(self, pieces: Iterable[bytes], body: WsgiBody) -> None:
        self.pieces, self.rest = pieces, iter(pieces)
        try:
            self.first = next(self.rest, None)
        except Exception:
            self.close()
            raise
        if not body.is_begun or self.first is None or len(self.first) == body.reply_length:
            body.drain()

    def __iter__(self) -> Iterator[bytes]:
        """Each piece when the application has it."""
        if self.first is not None:
            yield self.first
            yield from self.rest

    def close(self) -> None:
        """Closes the application's pieces, as PEP 3333 demands."""
        if hasattr(self.pieces, "close"):
            self.pieces.close()
