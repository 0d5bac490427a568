"""`python3 -m stack COMMAND`: what the Makefile calls for a deployment."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets this far
    sys.exit(f"stack: Python {sys.version.split()[0]} is too old: install Python 3.11 or later")

from stack.command_line import run_command

COMMANDS = {
    "engine": "stack.install:main",
    "up": "stack.up:main",
    "down": "stack.commands:down",
    "ps": "stack.commands:ps",
    "logs": "stack.commands:logs",
    "trust": "stack.commands:trust",
    "images": "stack.commands:choose_images",
    "clean": "stack.commands:clean",
    "build": "stack.build:build_all",
}

run_command("stack", COMMANDS, without_engine={"engine", "clean"})
