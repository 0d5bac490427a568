"""Starts one server inside the probe container, asks it, stops it, and prints what was found as JSON.

`python3 -m probe.alone alone granian asgi`: every feature, in the best configuration.
`python3 -m probe.alone native uvicorn wsgi`, `… bare …`: does that one command serve?
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from . import client, servers

PATIENCE = 30.0
ENVIRONMENT = {"APP": "probe", "WORKERS": "1", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20"}
ENVIRONMENT |= {"FORWARDED_ALLOW_IPS": "127.0.0.1", "HOME": "/tmp", "PYTHONWARNINGS": "default"}


def ask(name: str) -> int | str:
    """The status that a place answers with, or why there is none."""
    host, port = servers.CLEAR if name == "clear" else servers.TLS
    if name == "clear":
        connection = http.client.HTTPConnection(host, port, timeout=5)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=client.context(["http/1.1"]))
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def listening(port: int) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Running:
    """One process group, its output, and its end."""

    def __init__(self, command: tuple[str, ...] | list[str]) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )

    def said(self) -> str:
        """Its output so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait(self, names: tuple[str, ...]) -> dict[str, int | str]:
        """What each place answers once all answer, or the process has ended, or patience has."""
        until = time.monotonic() + PATIENCE
        ports = [(servers.CLEAR if name == "clear" else servers.TLS)[1] for name in names]
        while not all(map(listening, ports)):
            if self.process.poll() is not None or time.monotonic() > until:
                return {}
            time.sleep(0.05)
        while True:
            answers = {name: ask(name) for name in names}
            if all(isinstance(one, int) for one in answers.values()):
                return answers
            if self.process.poll() is not None or time.monotonic() > until:
                return answers
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends the whole group, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def complaint(said: str) -> str:
    """The line of a log that says what was wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"[Ee]rror|unrecognized|No such option", line)]
    return (wrong or lines or ["nothing"])[-1][-120:]


def started(process: servers.Process) -> tuple[Running | None, str]:
    """The first command that serves, running; and which that was."""
    notes: list[str] = []
    for number, command in enumerate(process.commands):
        one = Running(command)
        answers = one.wait(process.places)
        if answers and all(status == 200 for status in answers.values()):
            return one, "; ".join(["plainly" if number else "best", *notes])
        notes.append(complaint(one.said()) if not answers else str(answers))
        one.kill()
    return None, "does not start: " + "; ".join(notes)


def alone(server: str, interface: str) -> dict[str, Any]:
    """Every feature of one server."""
    running: list[Running] = []
    served: dict[str, str] = {}
    places: dict[str, Any] = {}
    try:
        for process in servers.alone(server, interface):
            one, how = started(process)
            if one:
                running.append(one)
                places |= {name: servers.CLEAR if name == "clear" else servers.TLS for name in process.places}
            served["+".join(process.places)] = how
        if not running:
            why = next(iter(served.values()))
            names = [*client.PROBES, "103 early hints", "trailers"]
            return {"starts": served, "features": dict.fromkeys(names, ("no", why)), "h2": {}}
        return {"starts": served} | client.probe(
            client.Places(**places), True, (server, interface) == servers.REFERENCE
        )
    finally:
        for one in running:
            one.kill()


def one_command(command: list[str]) -> dict[str, Any]:
    """Whether a server serves when it is started so, on its default port."""
    one = Running(command)
    try:
        answers = one.wait(("clear",))
        said = one.said()
        answered = answers.get("clear", "does not start")
        return {
            "command": " ".join(command),
            "serves": answered == 200,
            "seen": answered if answers else f"does not start: {complaint(said)}",
            "deprecated": "deprecated" in said.lower(),
        }
    finally:
        one.kill()


if __name__ == "__main__":
    if any(map(listening, (servers.CLEAR[1], servers.TLS[1]))):
        sys.exit("something listens already")
    what, *key = sys.argv[1:]
    if what == "alone":
        print(json.dumps(alone(*key)))
    else:
        print(json.dumps(one_command({"native": servers.NATIVE, "bare": servers.BARE}[what][key[0], key[1]])))
