"""Closes the open WebSockets of a process when it gets SIGTERM, with the code 1012 (service restart).

Some servers cut open WebSockets at a stop without a close frame, and one waits for them until GRACE. With the code a
client knows that it may connect again. The handler of the server itself follows, so its own stop stays as it is.
Checked by: test_a_stop_closes_websockets_with_a_close_frame
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

CLOSE = {"type": "websocket.close", "code": 1012, "reason": "the server restarts"}
_closers: set[Callable[[], object]] = set()  # one for each open WebSocket
_handlers: list[Any] = []  # the server's own handler, once ours stands before it


def _close_all(number: int, frame: FrameType | None) -> None:
    for close in tuple(_closers):
        close()
    _handlers[0](number, frame)


def _watch() -> None:
    """Puts our handler before the server's, once a process. A process without a handler ends at once, as before."""
    handler = signal.getsignal(signal.SIGTERM)
    if not _handlers and callable(handler) and threading.current_thread() is threading.main_thread():
        _handlers.append(handler)
        signal.signal(signal.SIGTERM, _close_all)


async def serve(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Calls the application with a WebSocket, which a stop closes after the application has accepted it."""
    loop = asyncio.get_running_loop()

    async def send_close() -> None:
        await send(CLOSE)

    def close() -> object:
        return asyncio.run_coroutine_threadsafe(send_close(), loop)

    async def send_noted(event: Any) -> None:
        await send(event)
        if event["type"] == "websocket.accept":
            _closers.add(close)

    _watch()
    try:
        await app(scope, receive, send_noted)
    finally:
        _closers.discard(close)
