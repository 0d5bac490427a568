"""How the commands of `stack`, `tools` and `loadtests` start and end."""

import signal
import sys
from collections.abc import Collection, Mapping
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


def run_command(package: str, commands: Mapping[str, str], without_engine: Collection[str] = ()) -> None:
    """Runs the command that the only argument names. `commands` has its function as `module:function`.

    `Problem`, an error of the system (a full disk) and an interruption end the command with one line and without a
    traceback. `without_engine`: commands that need no Docker.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
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
    except (Problem, OSError) as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        sys.exit(problem.status if isinstance(problem, Problem) else 1)
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: interrupted")
