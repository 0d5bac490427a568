"""A window is one measurement of one cell. The run writes windows, and everything after the run reads them.

A run's `runs.jsonl` has one window a line, as JSON: the fields of its cell and of `Window`, by their names. A line
with `unmeasured` instead says why its cell cannot be measured at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

NO_SERVER = "none"  # the server of a baseline, which is a proxy's own answer
DIRECT = "direct"  # the route without a proxy
BY_HAND = "-by-hand"  # the end of an application's name: the server runs it without the loader's gateway
STOCK = "-stock"  # the end of a route's name that leads through a proxy's stock configuration: nginx-stock
PAIR = "A/A"  # the second cell of an A/A pair: the same cell, measured once more in every round
# The names that fields had in runs before November 2026. Such runs stay readable.
FORMER_NAMES = {
    "route": "proxy",
    "pair": "twin",
    "invalid": "gates",
    "others": "host",
    "probe_time": "gauge",
    "memory_warm": "warm",
    "memory_peak": "peak",
}


class Cell(NamedTuple):
    """What every round measures once: one server with one application, on one route, under one scenario.

    `route` is `direct`, a proxy, or a proxy's stock configuration. `mode` is `ceiling` or `rate`. `http` is the
    generator's HTTP version. `variant` names one of several users of a scenario.
    """

    scenario: str
    server: str
    interface: str = ""
    app: str = ""
    route: str = DIRECT
    workers: int = 1
    threads: int = 0
    http: str = "1.1"
    pair: str = ""
    mode: str = ""
    variant: str = ""


class Invalidity(NamedTuple):
    """Why a window does not count: the validity rule that it breaks, and the figures."""

    rule: str
    reason: str


@dataclass
class Window:
    """What the generator saw in one window of one cell, and what the window cost.

    Seen: `seconds` is the time that was measured. `requests` had the right answer; `errors` counts the others by kind.
    `clients` are connections. `offered` is the rate of all clients together (requests/s), None at the ceiling.
    `latency` has p50, p95, p99, p99.9, max and mean in ms. `times` has the number of answers by their time in ms, three
    digits. `corrected`: the tool lengthened its times for coordinated omission.

    Cost: `cpu` is in seconds by part: `app`, `proxy`, `generator`, `engine`. Memory is in bytes by part, `app` and
    `proxy`: after the window (`memory`), before the first window of the start (`memory_warm`), and the most so far
    (`memory_peak`).

    Conditions: `saturation` is the share of the generator's cores that was in use. `others` is the share that other
    processes took of the stack's or the generator's cores. Both are from 0 to 1. `probe_time` is the CPU time of the
    machine-speed probe's piece of work in µs, 0 where there was no probe. `slowness` is that time relative to the run's
    fastest tenth; it is set when a run is read. `invalid` has every reason not to count the window.
    """

    cell: Cell
    round: int = 0
    block: int = 0
    started: str = ""
    seconds: float = 0.0
    clients: int = 0
    offered: float | None = None
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    corrected: bool = False
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    memory_warm: dict[str, int] = field(default_factory=dict)
    memory_peak: dict[str, int] = field(default_factory=dict)
    saturation: float = 0.0
    others: float = 0.0
    probe_time: float = 0.0
    invalid: list[Invalidity] = field(default_factory=list)
    slowness: float = 1.0

    @property
    def rules(self) -> set[str]:
        """The validity rules that the window breaks."""
        return {invalidity.rule for invalidity in self.invalid}


REQUIRED = ("round", "seconds", "requests", "errors", "latency", "cpu", "memory", "invalid")
DERIVED = {"cell", "slowness"}  # not written: a record has the cell's own fields, and slowness follows from the run


def write_record(window: Window) -> dict[str, Any]:
    """A window as a flat JSON object, without optional fields that have their default."""
    record: dict[str, Any] = window.cell._asdict()
    for part in fields(Window):
        value = getattr(window, part.name)
        if part.name not in DERIVED and (part.name in REQUIRED or value not in ("", 0.0, None, False, {})):
            record[part.name] = value
    return record | {"invalid": [invalidity._asdict() for invalidity in window.invalid]}


def read_cell(record: Mapping[str, Any]) -> Cell:
    """The cell of a record, whose fields may have their former names."""
    return Cell(**{name: value for name in Cell._fields if (value := find_value(record, name)) is not None})


def read_window(record: Mapping[str, Any]) -> Window:
    """A window from its record, whose fields may have their former names; KeyError names missing required fields."""
    names = [part.name for part in fields(Window) if part.name not in DERIVED]
    values = {name: value for name in names if (value := find_value(record, name)) is not None}
    if missing := [name for name in REQUIRED if name not in values]:
        raise KeyError(*missing)
    values["invalid"] = [Invalidity(*entry.values()) for entry in values["invalid"]]
    return Window(read_cell(record), **values)


def find_value(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field under its present or its former name; None where the record has neither."""
    return record.get(name, record.get(FORMER_NAMES.get(name, name)))
