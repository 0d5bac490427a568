"""`python3 -m tools COMMAND`: what the Makefile calls to check and document this repository."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets this far
    sys.exit(f"tools: Python {sys.version.split()[0]} is too old: install Python 3.11 or later")

from stack.command_line import run_command

COMMANDS = {
    "lint": "tools.lint:main",
    "claims": "tools.claims.measure:main",
    "docs": "tools.docs:write",
    "lock": "tools.lock:main",
    "venv": "tools.venv:make",
}

run_command("tools", COMMANDS, without_engine={"docs", "lock", "venv"})
