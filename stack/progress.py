"""Shows on stderr what a command does: one line a step, with the seconds that the step takes."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TICK_SECONDS = 1.0  # how often a terminal shows the seconds of the step that runs


class Step:
    """One line: the text, then the seconds. Other output can come between, which repeats the text."""

    running: "Step | None" = None

    def __init__(self, text: str) -> None:
        self.text = f"{text} … "
        self.began = time.monotonic()
        self.is_line_open = False
        self.lock = threading.Lock()

    def write(self, ending: str) -> None:
        """Writes the text, or only its ending where the text stands on the present line already."""
        with self.lock:
            text = "" if self.is_line_open and not sys.stderr.isatty() else self.text
            write(("\r" if self.is_line_open and text else "") + text + ending)
            self.is_line_open = not ending.endswith("\n")

    def break_line(self) -> None:
        """Leaves the present line, so that other output gets lines of its own."""
        with self.lock:
            if self.is_line_open:
                write("\n")
                self.is_line_open = False

    def describe_seconds(self) -> str:
        """The time since the start, with one digit after the point where it is short."""
        seconds = time.monotonic() - self.began
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


@contextmanager
def step(text: str) -> Iterator[None]:
    """Shows `text` while its block runs, then the seconds: "up: starting nginx … 1.2 s"."""
    line = Step.running = Step(text)
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(TICK_SECONDS):
            line.write(f"{time.monotonic() - line.began:.0f} s")

    ticker = threading.Thread(target=tick, daemon=True)
    line.write("")
    if sys.stderr.isatty():
        ticker.start()
    result = ""
    try:
        yield
    except BaseException as error:
        result = "interrupted after " if isinstance(error, KeyboardInterrupt) else "failed after "
        raise
    finally:
        is_over.set()
        if ticker.is_alive():
            ticker.join()
        line.write(f"{result}{line.describe_seconds()}\n")
        Step.running = None


def show(text: str) -> None:
    """Prints lines, such as a log, below the step that runs."""
    if Step.running:
        Step.running.break_line()
    write(f"{text}\n")


def write(text: str) -> None:
    """Writes to stderr. A reader that has gone away (`make up 2>&1 | head -1`) does not end a swap half-way."""
    with suppress(BrokenPipeError):
        sys.stderr.write(text)
        sys.stderr.flush()
