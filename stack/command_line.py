"""How the commands of `stack`, `tools` and `loadtests` start and end."""

import signal
import sys
from collections.abc import Collection, Mapping
from importlib import import_module

from stack import Problem, engine


def run_command(package: str, commands: Mapping[str, str], without_engine: Collection[str] = ()) -> None:
    """Runs the command that the only argument names. `commands` has its function as `module:function`.

    `Problem` and Ctrl-C end the command with one line and without a traceback. `without_engine`: commands that need no
    Docker.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in commands:
        sys.exit(f"{package}: choose one of {', '.join(commands)}")
    try:
        if name not in without_engine:
            engine.check()
        module, _, function = commands[name].partition(":")
        getattr(import_module(module), function)()
    except Problem as problem:
        sys.exit(f"{name}: {problem}")
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: interrupted")
