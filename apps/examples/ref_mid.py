"""How does a middleware wrap a WSGI application? What timing-asgi does for ASGI, around `ref`.

The time ends when the server closes the reply, and not when the application returns it: until then an iterator has
done nothing yet. Checked by: test_a_streamed_reply_is_timed_to_its_end
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.simple_server import make_server

from apps.examples import ref


class Printer:
    """Where the measurements go; the same client as timing-asgi's."""

    def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
        """One measurement."""
        print(metric_name, f"{timing:.6f}", tags, flush=True)


class Timed:
    """A reply whose end is noticed: every server must call `close` (PEP 3333)."""

    def __init__(self, reply: Iterable[bytes], ended: Any) -> None:
        self.reply = reply
        self.ended = ended

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.reply)

    def close(self) -> None:
        """Passes the call on, then measures."""
        if hasattr(self.reply, "close"):
            self.reply.close()
        self.ended()


class TimingMiddleware:
    """Wraps a WSGI application: every reply's wall and CPU time goes to the client, tagged with status and method."""

    def __init__(self, app: Any, client: Any) -> None:
        self.app = app
        self.client = client

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Calls the application with a `start_response` that notes the status."""
        wall, cpu = time.perf_counter(), time.process_time()
        status = "500"  # of an application that raises

        def noting(line: str, headers: Any, *error: Any) -> Any:
            nonlocal status
            status = line.split()[0]
            return start_response(line, headers, *error)

        def ended() -> None:
            name = "unnamed." + environ["PATH_INFO"][1:].replace("/", ".")
            tags = [f"http_status:{status}", f"http_method:{environ['REQUEST_METHOD']}"]
            self.client.timing(name, time.perf_counter() - wall, [*tags, "time:wall"])
            self.client.timing(name, time.process_time() - cpu, [*tags, "time:cpu"])

        try:
            return Timed(self.app(environ, noting), ended)
        except Exception:
            ended()
            raise


app = TimingMiddleware(ref.app, client=Printer())

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), app) as server:
        server.serve_forever()
