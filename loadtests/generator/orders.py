"""What the host and the generator's container say to each other: an order in, an observation out, a line of JSON each.

Both sides import this file, so it uses the standard library only.
"""

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Order:
    """One window that a generator must measure.

    `scenario` and `variant` name the user, and `url` is the server that it asks. `mode` is `rate` or `ceiling`.
    `clients` are connections. `rate` is the rate of all clients together (requests/s); the ceiling ignores it.
    `seconds` is the length of the window. `http` is the client's HTTP version. `tool` measures the ceiling: `locust` or
    `wrk`. In place of wrk, h2load asks over HTTP/2 and curl over HTTP/3.
    """

    scenario: str
    variant: str
    url: str
    mode: str
    clients: int
    seconds: float
    rate: float = 0.0
    tool: str = "wrk"
    http: str = "1.1"


@dataclass
class Observation:
    """What a generator saw in one window.

    `seconds` is the time that was measured. `requests` had the right answer; `errors` counts the others by kind.
    `latency` has p50, p95, p99, p99.9, max and mean in ms. `times` counts the answers by their time in ms, at a fixed
    rate only. `corrected`: the tool lengthened its times for coordinated omission. `cpu` is the CPU time of the
    generator in seconds. `clients` are the connections that the tool really had, where they are others than ordered;
    else 0. `failed` says why nothing was measured; then no other field counts.
    """

    seconds: float = 0.0
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    corrected: bool = False
    cpu: float = 0.0
    clients: int = 0
    failed: str = ""


def write_line(message: Order | Observation) -> str:
    """A message as one line of JSON."""
    return json.dumps(asdict(message)) + "\n"


def read_order(line: str) -> Order:
    """The order in a line."""
    return Order(**json.loads(line))


def read_observation(line: str) -> Observation:
    """The observation in a line."""
    return Observation(**json.loads(line))
