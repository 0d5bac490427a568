# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn", "timing-asgi"]
# ///
"""How does a middleware wrap an ASGI application? The talk's example: timing-asgi around `aref`, left unchanged."""

import os

from timing_asgi import TimingClient, TimingMiddleware

from apps.examples import aref


class Printer(TimingClient):
    """Prints the measurements. A client in production would send them to a statsd."""

    def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
        """Takes one measurement, in seconds."""
        print(metric_name, f"{timing:.6f}", tags, flush=True)


app = TimingMiddleware(aref.app, client=Printer())

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
