"""`python3 -m stack COMMAND`: what the Makefile calls. One line for a user's mistake, never a traceback."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - nobody has checked yet
    sys.exit(f"stack: Python {sys.version.split()[0]} is too old: install Python 3.11 or later")

from stack import Problem, docs, engine, images, lint, up, venv
from stack.compose import Compose


def ensure_images() -> None:
    """Decides anew which base images to use."""
    for argument, image in images.ensure(anew=True).items():
        print(f"images: {argument}={image}")


def build() -> None:
    """Builds the images, for tests and lint, which start no stack of the user's."""
    compose = Compose()
    compose.environment |= images.ensure()
    up.build(compose)


COMMANDS = {
    "engine": engine.install,
    "up": lambda: up.up(os.environ),
    "down": up.down,
    "ps": up.ps,
    "logs": up.logs,
    "trust": up.trust,
    "images": ensure_images,
    "build": build,
    "lint": lint.lint,
    "docs": docs.write,
    "venv": venv.make,
}


def main() -> None:
    """Runs the named command."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in COMMANDS:
        sys.exit(f"stack: choose one of {', '.join(COMMANDS)}")
    try:
        if name not in ("engine", "docs", "venv"):
            engine.check()
        COMMANDS[name]()
    except Problem as problem:
        sys.exit(f"{name}: {problem}")
    except KeyboardInterrupt:
        sys.exit(f"\n{name}: interrupted")


main()
