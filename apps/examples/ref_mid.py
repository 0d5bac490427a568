"""How does a middleware wrap a WSGI application? As timing-asgi does for ASGI, here around `ref`.

An application may return an iterator that has done no work yet. So the time ends when the server closes the reply.
Checked by: test_a_streamed_reply_is_timed_to_its_end
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.simple_server import make_server

from apps.examples import ref


class Printer:
    """Prints the measurements; the same interface as timing-asgi's clients."""

    def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
        """Takes one measurement, in seconds."""
        print(metric_name, f"{timing:.6f}", tags, flush=True)


class Timed:
    """A reply that reports its end, because every server must call `close` (PEP 3333)."""

    def __init__(self, reply: Iterable[bytes], on_end: Any) -> None:
        self.reply = reply
        self.on_end = on_end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.reply)

    def close(self) -> None:
        """Passes the call on, then reports the end."""
        if hasattr(self.reply, "close"):
            self.reply.close()
        self.on_end()


class TimingMiddleware:
    """Wraps a WSGI application, and sends the wall and CPU time of each reply to the client.

    The tags are the status and the method.
    """

    def __init__(self, app: Any, client: Any) -> None:
        self.app = app
        self.client = client

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Calls the application with a `start_response` that keeps the status."""
        wall, cpu = time.perf_counter(), time.process_time()
        status = "500"  # stays, if the application raises

        def keep_status(line: str, headers: Any, *error: Any) -> Any:
            nonlocal status
            status = line.split()[0]
            return start_response(line, headers, *error)

        def send_times() -> None:
            name = "unnamed." + environ["PATH_INFO"][1:].replace("/", ".")
            tags = [f"http_status:{status}", f"http_method:{environ['REQUEST_METHOD']}"]
            self.client.timing(name, time.perf_counter() - wall, [*tags, "time:wall"])
            self.client.timing(name, time.process_time() - cpu, [*tags, "time:cpu"])

        try:
            return Timed(self.app(environ, keep_status), send_times)
        except Exception:
            send_times()
            raise


app = TimingMiddleware(ref.app, client=Printer())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
