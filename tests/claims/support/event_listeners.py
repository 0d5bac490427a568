"""Many clients at once that listen to server-sent events, and how long the next client waits."""

import asyncio
import time
from typing import Any

from tests.claims.support.single_server import SingleServer


async def listen(server: SingleServer, path: str, first_events: list[float]) -> None:
    """One client: notes when its first event comes, then reads the other events.

    A server with a short queue may not accept the connection yet. Then the client waits for that too.
    """
    writer = None
    try:
        reader, writer = await asyncio.open_connection(server.address, 8000)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
        await reader.readuntil(b"data: event 0\n")
        first_events.append(time.monotonic())
        while await reader.read(65536):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        if writer:
            writer.close()


async def time_get(server: SingleServer, path: str, patience: float) -> float | None:
    """The seconds until a GET is answered; None where no answer comes within `patience` seconds."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(server.address, 8000)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                return time.monotonic() - began
            finally:
                writer.close()
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return None


async def _hold_listeners(server: SingleServer, number: int, path: str, patience: float) -> dict[str, Any]:
    first_events: list[float] = []
    clients = [asyncio.create_task(listen(server, path, first_events)) for _ in range(number)]
    held, since = 0, time.monotonic()
    while held < number and time.monotonic() - since < 2:
        await asyncio.sleep(0.1)
        if len(first_events) != held:
            held, since = len(first_events), time.monotonic()
    next_client = await time_get(server, "/live", patience)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return {"held": held, "next": next_client}


def hold_listeners(server: SingleServer, number: int, path: str, patience: float = 2) -> dict[str, Any]:
    """How many of `number` listeners the server holds at once, and after how many seconds it answers one more client.

    A listener waits, and is not held, if it has no event two seconds after the last listener that got one. `next` is
    None where the next client has no answer within `patience` seconds.
    """
    return asyncio.run(_hold_listeners(server, number, path, patience))


async def _time_gets(server: SingleServer, number: int, path: str) -> list[float]:
    began = time.monotonic()

    async def finish() -> float:
        assert await time_get(server, path, 120) is not None
        return time.monotonic() - began

    return sorted(await asyncio.gather(*(finish() for _ in range(number))))


def time_gets_at_once(server: SingleServer, number: int, path: str) -> list[float]:
    """The seconds until each of `number` requests, all sent at once, is answered; in order."""
    return asyncio.run(_time_gets(server, number, path))
