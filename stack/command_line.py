"""How the commands of `stack`, `tools` and `loadtests` start and end."""

import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType

from stack import Problem, engine

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupts once, as Ctrl-C does, where the command is killed or its terminal closed.

    make passes SIGTERM on to a command that has it already, and the second one must not interrupt the clean-up.
    """
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def flush() -> None:
    """Writes the output out. Where the reader has gone away (`make trust | head -1`), nobody needs the rest."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def finish_first(reason: str) -> Iterator[None]:
    """Lets a block end before an interruption does. The interruption then ends the command as usual.

    `reason`: what the user reads at once.
    """
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        yield
        return
    numbers = [number for number in (signal.SIGINT, *ENDINGS) if signal.getsignal(number) != signal.SIG_IGN]
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if not received:
            with suppress(OSError):  # a closed terminal
                os.write(2, f"\ninterrupted: {reason}\n".encode())
        received.append(number)

    handlers = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:  # what else the signal ended, such as a docker command, is no news
            raise KeyboardInterrupt from None


def run_command(package: str, commands: Mapping[str, str], without_engine: Collection[str] = ()) -> None:
    """Runs the command that the only argument names. `commands` has its function as `module:function`.

    `Problem`, an error of the system (a full disk) and an interruption end the command with one line and without a
    traceback. `without_engine`: commands that need no Docker.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background jobs of a shell ignore SIGINT
    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, interrupt)
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in commands:
        sys.exit(f"{package}: choose one of {', '.join(commands)}")
    try:
        if name not in without_engine:
            engine.check()
        module, _, function = commands[name].partition(":")
        getattr(import_module(module), function)()
        flush()
    except BrokenPipeError:
        flush()
        sys.exit(128 + signal.SIGPIPE)
    except (Problem, OSError) as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        sys.exit(problem.status if isinstance(problem, Problem) else 1)
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: interrupted")
