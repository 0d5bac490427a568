"""Runs the commands of APP_PROCESSES, separated by `&`, beside the web process: a queue's worker, a scheduler.

Each command is a shell's (`cd jobs && python worker.py`). SIGTERM goes to every process of each, and this process ends
when all of them have ended. When one command ends by itself, the
others are stopped too, and the container ends: its restart policy starts all of them again.
Checked by: test_processes_beside_the_web_process_stop_gracefully
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from . import serve

# What is no separator: text in quotes, `&&`, and the & of a redirection.
WORDS = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|&&|[<>]&|&>|[^&])+""", re.DOTALL)


def split(text: str) -> list[str]:
    """The commands."""
    return [command for part in WORDS.findall(text) if (command := part.strip())]


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Sends SIGTERM to every command that runs, and to the processes below it."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def wait(process: subprocess.Popen[bytes]) -> None:
    """Waits for a command and the processes below it: a shell may end before what it has started."""
    process.wait()
    with suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def main() -> None:
    """Starts every command in a process group of its own, and waits for the first end."""
    commands = split(os.environ.get("APP_PROCESSES", ""))
    if not commands:
        sys.exit("processes: APP_PROCESSES is empty: give commands, separated by &")
    try:
        serve.complete_environment()
    except serve.SettingsError as error:
        sys.exit(f"processes: {error}")
    processes: list[subprocess.Popen[bytes]] = []
    stopping = False

    def handle(*_: Any) -> None:
        nonlocal stopping
        stopping = True
        stop(processes)

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, handle)
    for command in commands:
        print(f"processes: {command}", flush=True)
        processes.append(subprocess.Popen(["sh", "-c", command], start_new_session=True))
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)
    status = next(process.returncode for process in processes if process.returncode is not None)
    if not stopping:
        ended = next(
            command for command, process in zip(commands, processes, strict=True) if process.poll() is not None
        )
        print(f"processes: `{ended}` has ended ({status}): all stop", flush=True)
    stop(processes)  # those too that started after a signal
    for process in processes:
        wait(process)
    sys.exit(0 if stopping else status or 1)


if __name__ == "__main__":
    main()
