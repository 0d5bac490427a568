"""`python3 -m tools COMMAND`: what the Makefile calls to check and document this repository."""

from stack.command_line import run_command

COMMANDS = {
    "lint": "tools.lint:main",
    "claims": "tools.claims.measure:main",
    "streams": "tools.streams:main",
    "docs": "tools.docs:write",
    "lock": "tools.lock:main",
    "outdated": "tools.outdated:main",
    "venv": "tools.venv:make",
}

run_command("tools", COMMANDS, without_engine={"docs", "lock", "outdated", "venv"})
