"""Starts one server inside the probe container, asks it, stops it, and prints the answers as JSON.

`python3 -m probe.single_server best granian asgi`: every feature, in the best configuration.
`python3 -m probe.single_server native uvicorn wsgi`, `… bare …`: does that one command serve?
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

from . import features, servers
from .places import Places, tls_context

PATIENCE = 30.0  # seconds until every place must answer
ENVIRONMENT = {"APP": "probe", "WORKERS": "1", "THREADS": "8", "KEEPALIVE": "30", "GRACE": "20"}
ENVIRONMENT |= {"FORWARDED_ALLOW_IPS": "127.0.0.1", "HOME": "/tmp", "PYTHONWARNINGS": "default"}
ADDRESSES = {"clear": servers.CLEAR, "tls": servers.TLS}


def read_status(name: str) -> int | str:
    """The status that a place answers with, or the name of the error."""
    host, port = ADDRESSES[name]
    if name == "clear":
        connection = http.client.HTTPConnection(host, port, timeout=5)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=tls_context(["http/1.1"]))
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def is_listening(port: int) -> bool:
    """Whether a process accepts connections on that port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class ProcessGroup:
    """One running server with all its processes, its output, and its end."""

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

    def output(self) -> str:
        """The output so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait(self, names: tuple[str, ...]) -> dict[str, int | str]:
        """What each place answers, as soon as all answer. Earlier where the server ends or PATIENCE is over."""
        until = time.monotonic() + PATIENCE
        ports = [ADDRESSES[name][1] for name in names]
        while not all(map(is_listening, ports)):
            if self.process.poll() is not None or time.monotonic() > until:
                return {}
            time.sleep(0.05)
        while True:
            answers = {name: read_status(name) for name in names}
            if all(isinstance(status, int) for status in answers.values()):
                return answers
            if self.process.poll() is not None or time.monotonic() > until:
                return answers
            time.sleep(0.1)

    def kill(self) -> None:
        """Kills every process of the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def find_error(log: str) -> str:
    """The line of a log that names the error; the last line where none does."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"[Ee]rror|unrecognized|No such option", line)]
    return (errors or lines or ["nothing"])[-1][-120:]


def start(process: servers.Process) -> tuple[ProcessGroup | None, str]:
    """Starts the first command that serves. Also a note: which command it was, and why those before failed."""
    notes: list[str] = []
    for number, command in enumerate(process.commands):
        running = ProcessGroup(command)
        answers = running.wait(process.places)
        if answers and all(status == 200 for status in answers.values()):
            return running, "; ".join(["plainly" if number else "best", *notes])
        notes.append(find_error(running.output()) if not answers else str(answers))
        running.kill()
    return None, "does not start: " + "; ".join(notes)


def probe_server(server: str, interface: str) -> dict[str, Any]:
    """Asks every feature of one server."""
    groups: list[ProcessGroup] = []
    served: dict[str, str] = {}
    places: dict[str, Any] = {}
    try:
        for process in servers.list_processes(server, interface):
            group, note = start(process)
            if group:
                groups.append(group)
                places |= {name: ADDRESSES[name] for name in process.places}
            served["+".join(process.places)] = note
        if not groups:
            reason = next(iter(served.values()))
            names = [*features.PROBES, "103 early hints", "trailers"]
            return {"starts": served, "features": dict.fromkeys(names, ("no", reason)), "h2": {}}
        control = (server, interface) == servers.REFERENCE
        return {"starts": served} | features.probe(Places(**places), promises=True, control=control)
    finally:
        for group in groups:
            group.kill()


def try_command(command: list[str]) -> dict[str, Any]:
    """Whether a server serves on its default port when this command starts it."""
    running = ProcessGroup(command)
    try:
        answers = running.wait(("clear",))
        log = running.output()
        answered = answers.get("clear", "does not start")
        return {
            "command": " ".join(command),
            "serves": answered == 200,
            "seen": answered if answers else f"does not start: {find_error(log)}",
            "deprecated": "deprecated" in log.lower(),
        }
    finally:
        running.kill()


if __name__ == "__main__":
    if any(map(is_listening, (servers.CLEAR[1], servers.TLS[1]))):
        sys.exit("a process listens already on a port of the probe")
    form, own_server, own_interface = sys.argv[1:]
    if form == "best":
        print(json.dumps(probe_server(own_server, own_interface)))
    else:
        commands = {"native": servers.NATIVE, "bare": servers.BARE}[form]
        print(json.dumps(try_command(commands[own_server, own_interface])))
