"""`python3 -m stack COMMAND`: what the Makefile calls for a deployment."""

from stack.command_line import run_command

COMMANDS = {
    "engine": "stack.install:main",
    "up": "stack.up:main",
    "down": "stack.commands:down",
    "destroy": "stack.commands:destroy",
    "ps": "stack.commands:ps",
    "run": "stack.commands:run",
    "export": "stack.export:main",
    "logs": "stack.commands:logs",
    "trust": "stack.commands:trust",
    "images": "stack.commands:choose_images",
    "clean": "stack.commands:clean",
    "build": "stack.build:build_all",
}

run_command("stack", COMMANDS, without_engine={"engine", "clean"})
