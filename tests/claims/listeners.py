"""Many clients at once that listen to server-sent events, and what happens to the next one."""

import asyncio
import time
from typing import Any

from tests.claims.single_server import SingleServer


async def listen(one: SingleServer, path: str, served: list[float]) -> None:
    """One client: notes when its first event comes, and takes the others as they do.

    A server with a short queue may not even let it connect: then it waits for that.
    """
    writer = None
    try:
        reader, writer = await asyncio.open_connection(one.address, 8000)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
        await reader.readuntil(b"data: event 0\n")
        served.append(time.monotonic())
        while await reader.read(65536):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        if writer:
            writer.close()


async def answered(one: SingleServer, path: str, seconds: float) -> float | None:
    """The seconds until a GET is answered; None where it is not within `seconds`."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(one.address, 8000)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                return time.monotonic() - began
            finally:
                writer.close()
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return None


async def _crowd(one: SingleServer, number: int, path: str, patience: float) -> dict[str, Any]:
    served: list[float] = []
    clients = [asyncio.create_task(listen(one, path, served)) for _ in range(number)]
    held, since = 0, time.monotonic()
    while held < number and time.monotonic() - since < 2:
        await asyncio.sleep(0.1)
        if len(served) != held:
            held, since = len(served), time.monotonic()
    next_one = await answered(one, "/live", patience)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return {"held": held, "next": next_one}


def crowd(one: SingleServer, number: int, path: str, patience: float = 2) -> dict[str, Any]:
    """How many of `number` listeners are served at once, and when one more client is (None: not while they stay).

    Who has had no event for two seconds after the last that had one is not served, but waits.
    """
    return asyncio.run(_crowd(one, number, path, patience))


async def _together(one: SingleServer, number: int, path: str) -> list[float]:
    began = time.monotonic()

    async def finished() -> float:
        assert await answered(one, path, 120) is not None
        return time.monotonic() - began

    return sorted(await asyncio.gather(*(finished() for _ in range(number))))


def together(one: SingleServer, number: int, path: str) -> list[float]:
    """When each of `number` requests, all sent at once, is answered: seconds, in order."""
    return asyncio.run(_together(one, number, path))
