"""`make streams`: measures streams and WebSockets on every server behind every proxy, into docs/streams.json."""

import datetime
import json
import subprocess
from typing import Any, TypedDict

from apps.runtime import serve
from stack import ROOT, Problem, proxies
from stack.build import build_all
from tools.markdown import table

RECORD = ROOT / "docs/streams.json"
MEASURE = ROOT / "tests/measure_streams.py"


class Cell(TypedDict):
    """What a client of one server behind one proxy sees.

    `delay`: milliseconds from the first piece of the application to the client. `events`: an event stream after a
    silence. `websocket`: a WebSocket after the same silence; "" for WSGI. `stop`: a stream in flight at a stop. `code`:
    the close code of a WebSocket at a stop.
    """

    server: str
    interface: str
    proxy: str
    delay: int
    events: str
    websocket: str
    stop: str
    code: str


def write(cells: list[Cell], settings: dict[str, int], measured: dict[str, Any]) -> None:
    """Writes the record. `settings`: the times of the run in seconds. `measured`: the versions and the machine."""
    record = {"date": datetime.date.today().isoformat(), "settings": settings, "conditions": measured, "cells": cells}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read() -> dict[str, Any]:
    """The record of the last run; empty where there is none."""
    return json.loads(RECORD.read_text()) if RECORD.is_file() else {}


def describe(cell: Cell) -> str:
    """A cell of the table."""
    code = f", {cell['code']}" if cell["code"] else ""
    return f"{cell['delay']} ms · {cell['events']} · {cell['websocket'] or '–'} · {cell['stop']}{code}"


def table_of_pairings() -> str:
    """A row for each server and interface, a column for each proxy."""
    cells = {(cell["server"], cell["interface"], cell["proxy"]): describe(cell) for cell in read().get("cells", ())}
    names = proxies.names()
    rows = [
        [f"{server} {interface}", *(cells.get((server, interface, name), "not measured") for name in names)]
        for server, interface in serve.pairs()
    ]
    return table(["delay · event stream · WebSocket · stop", *names], rows)


def conditions() -> str:
    """When, where and with what the table was measured, in a sentence."""
    record = read()
    if not record:
        return "Not measured yet."
    versions = ", ".join(f"{name} {version}" for name, version in record["conditions"]["versions"].items())
    settings = ", ".join(f"{name} {seconds} s" for name, seconds in record["settings"].items())
    return f"Measured on {record['date']}: {record['conditions']['machine']}. {settings}. {versions}."


def main() -> None:
    """`make streams`. A run that fails keeps the last record."""
    build_all()
    print(f"streams: {len(serve.pairs())} servers, each behind {len(proxies.names())} proxies", flush=True)
    command = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-q", "--no-header", "-x", str(MEASURE)]
    pytest = subprocess.Popen(command, cwd=ROOT)
    try:
        code = pytest.wait()
    except KeyboardInterrupt:
        pytest.wait()  # pytest got the same signal, and removes its stack
        raise
    if code:
        raise Problem("the record stays as it was: the reason is above")
