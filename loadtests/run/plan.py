"""What a run measures, and in which order.

A *block* is one start of one server, and the windows that are measured until the next start: one for each of its
routes, scenarios and modes. Each round starts every server anew, in an order of its own. Two starts of a
server differ, so their difference is part of the spread between rounds.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from apps.runtime import serve
from loadtests.scenarios import scenarios
from loadtests.window import NO_SERVER, Cell

START_SECONDS, ROUTE_SECONDS = 2.0, 0.5  # the time that a server needs to start, and each of its routes to warm up
TICK_SECONDS = 0.1  # from the end of a window to the engine's next tick, at least
RATES = 5  # the most rounds with windows at the fixed rate; these windows are for latency, and CPU time is the headline


class Block(NamedTuple):
    """One start of a server, and the cells that are measured then; `none` starts no server."""

    server: str
    interface: str
    app: str
    workers: int
    pair: str
    cells: tuple[Cell, ...]

    def describe(self) -> str:
        """The block in words."""
        server = self.server if self.server != NO_SERVER else "no server: the proxies' own answers"
        return " ".join(filter(None, [server, self.interface, self.app, self.pair]))


class Start(NamedTuple):
    """A start of a server in one round. `place` is the block's place in the order of the round."""

    round: int
    place: int
    block: Block


class Plan(NamedTuple):
    """What a run measures. `seed` makes its order.

    `rate` is in requests/s; with None, each scenario has its own. `routes` are those through a proxy. `slowdown` is in
    µs by server and interface (`granian/asgi`): the CPU time that the application wastes in each request.
    """

    name: str
    blocks: tuple[Block, ...]
    rounds: int
    rate: float | None
    routes: list[str]
    seed: int
    slowdown: Mapping[str, int]

    def order(self, number: int) -> list[Block]:
        """The blocks of one round in the round's own order, each with its cells in such an order."""
        rng = random.Random(self.seed * 1000 + number)  # noqa: S311 - an order, no secret
        modes = self.modes(number)
        due = [[cell for cell in block.cells if cell.mode in modes] for block in self.blocks]
        pairs = zip(self.blocks, due, strict=True)
        blocks = [block._replace(cells=tuple(rng.sample(cells, len(cells)))) for block, cells in pairs if cells]
        return rng.sample(blocks, len(blocks))

    def starts(self) -> Iterator[Start]:
        """Every start of a server, in order."""
        for number in range(self.rounds):
            for place, block in enumerate(self.order(number)):
                yield Start(number, place, block)

    def modes(self, number: int) -> set[str]:
        """The modes of one round: where there are many rounds, some have the fixed rate, evenly spread."""
        modes = {cell.mode for block in self.blocks for cell in block.cells}
        has_rate = self.rounds <= RATES or number * RATES // self.rounds != (number - 1) * RATES // self.rounds
        return modes if has_rate or modes == {"rate"} else modes - {"rate"}

    @property
    def bases(self) -> set[str]:
        """The images that the servers need: values of `APP_BASE`."""
        servers = {(block.server, block.interface) for block in self.blocks if block.server != NO_SERVER}
        return {serve.choose({"SERVER": server, "INTERFACE": interface}).base for server, interface in servers}

    @property
    def seconds(self) -> float:
        """About how long the run takes."""
        return sum(estimate_seconds(start.block.cells) for start in self.starts())

    @property
    def windows(self) -> int:
        """How many windows there are in all."""
        return sum(len(start.block.cells) for start in self.starts())


def estimate_seconds(cells: Sequence[Cell]) -> float:
    """About how long one start of a server and the windows of its cells take: each ends with a tick of the engine."""
    windows = sum(math.ceil(scenarios()[cell.scenario].user(cell.variant)["seconds"] + TICK_SECONDS) for cell in cells)
    return START_SECONDS + ROUTE_SECONDS * len({cell.route for cell in cells}) + windows
