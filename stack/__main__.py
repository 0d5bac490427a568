"""`python3 -m stack COMMAND`: what the Makefile calls. One line for a user's mistake, never a traceback."""

import signal
import sys
from importlib import import_module

if sys.version_info < (3, 11):  # noqa: UP036 - nobody has checked yet
    sys.exit(f"stack: Python {sys.version.split()[0]} is too old: install Python 3.11 or later")

from stack import Problem, engine

COMMANDS = {
    "engine": "stack.engine:install",
    "up": "stack.up:main",
    "down": "stack.up:down",
    "ps": "stack.up:ps",
    "logs": "stack.up:logs",
    "trust": "stack.up:trust",
    "images": "stack.up:decide",
    "clean": "stack.up:clean",
    "build": "stack.up:build_only",
    "lint": "stack.lint:lint",
    "claims": "stack.claims:run",
    "docs": "stack.docs:write",
    "venv": "stack.venv:make",
}
WITHOUT_ENGINE = {"engine", "docs", "venv", "clean"}


def main() -> None:
    """Runs the named command."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in COMMANDS:
        sys.exit(f"stack: choose one of {', '.join(COMMANDS)}")
    try:
        if name not in WITHOUT_ENGINE:
            engine.check()
        module, _, function = COMMANDS[name].partition(":")
        getattr(import_module(module), function)()
    except Problem as problem:
        sys.exit(f"{name}: {problem}")
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: interrupted")


main()
