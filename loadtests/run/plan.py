"""What a run is to measure, and in which order: from the variables on make's command line.

A *block* is one start of one server, in which every proxy, scenario and mode has its window. Each round starts every
server anew, in an order of its own: what one start is luckier at than another is in the spread, too.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from apps import serve
from loadtests.scenarios import Scenario, scenarios
from loadtests.window import DIRECT, NO_SERVER, PAIR, Cell
from stack import Problem, proxies, settings

STOCK = ("nginx-stock", "caddy-stock")  # the shortest configuration that proxies: stock/
VERSIONS = ("1.1", "2", "3")
MODES = ("rate", "ceiling")
VARIABLES = settings.FOR_BENCH | {"WORKERS"}
START, WAY = 2.0, 0.5  # seconds that a server takes to start, and each way to it to warm up
RATES = 5  # windows of a cell at the fixed rate, however many rounds there are: for latency, not for the headline
DEFAULT = {
    "PROXIES": "direct,nginx,caddy",
    "SCENARIOS": "hello",
    "APPS": "bare",
    "WORKERS": "1",
    "HTTP": "1.1",
    "MODES": "rate,ceiling",
    "ROUNDS": "8",
}
QUICK = {"SERVERS": "granian,gunicorn,uvicorn", "INTERFACES": "asgi", "PROXIES": "direct,nginx", "ROUNDS": "3"}
FULL = {"SCENARIOS": ",".join(scenarios())}
FULL_HELLO = {"PROXIES": ",".join([DIRECT, *proxies.names()]), "WORKERS": "1,2"}


class Block(NamedTuple):
    """One start of a server, or none for the proxies' own answers, and the cells that are measured then."""

    server: str
    interface: str
    app: str
    workers: int
    pair: str
    cells: tuple[Cell, ...]


class Plan(NamedTuple):
    """What a run measures; `seed` makes its order. `rate` (requests/s) goes before the scenarios' own.

    `dearer` has the µs of CPU that a server's application (`granian/asgi`) wastes in each request, for the bench to
    find.
    """

    name: str
    blocks: tuple[Block, ...]
    rounds: int
    rate: float | None
    proxies: list[str]
    seed: int
    dearer: Mapping[str, int]

    def order(self, number: int) -> list[Block]:
        """The blocks of one round, in its own order, and so each block's cells."""
        rng = random.Random(self.seed * 1000 + number)  # noqa: S311 - an order, no secret
        modes = self.modes(number)
        due = [[cell for cell in block.cells if cell.mode in modes] for block in self.blocks]
        pairs = zip(self.blocks, due, strict=True)
        blocks = [block._replace(cells=tuple(rng.sample(cells, len(cells)))) for block, cells in pairs if cells]
        return rng.sample(blocks, len(blocks))

    def starts(self) -> Iterator[tuple[int, Block]]:
        """Every start of a server, with its round."""
        return ((number, block) for number in range(self.rounds) for block in self.order(number))

    def modes(self, number: int) -> set[str]:
        """What is measured in one round: of many rounds, the fixed rate has its windows in some, evenly spread."""
        asked = {cell.mode for block in self.blocks for cell in block.cells}
        often = self.rounds <= RATES or number * RATES // self.rounds != (number - 1) * RATES // self.rounds
        return asked if often or asked == {"rate"} else asked - {"rate"}

    @property
    def bases(self) -> set[str]:
        """The images that its servers need: `APP_BASE`."""
        starts = {(one.server, one.interface) for one in self.blocks if one.server != NO_SERVER}
        return {serve.choose({"SERVER": server, "INTERFACE": interface}).base for server, interface in starts}

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        return sum(took(block.cells) for _, block in self.starts())

    @property
    def windows(self) -> int:
        """How many there are in all."""
        return sum(len(block.cells) for _, block in self.starts())


def took(cells: Sequence[Cell]) -> float:
    """About how many seconds one start of a server takes, and the windows then, each up to the engine's next tick."""
    users = (scenarios()[cell.scenario].user(cell.variant) for cell in cells)
    return START + WAY * len({cell.route for cell in cells}) + sum(math.ceil(user["seconds"] + 0.1) for user in users)


def read(environ: Mapping[str, str], seed: int) -> Plan:
    """The plan that the variables ask for; `Problem` names the first that is wrong, and what would be right."""
    given = {name: environ[name] for name in VARIABLES if environ.get(name)}
    if "QUICK" in given and "FULL" in given:
        raise Problem("QUICK and FULL are two plans: give one")
    preset = QUICK if "QUICK" in given else FULL if "FULL" in given else {}
    asked = chosen("SCENARIOS", DEFAULT | preset | given, list(scenarios()))
    found: dict[Block, list[Cell]] = {}
    for name in asked:
        one = scenarios()[name]
        own = FULL_HELLO if "FULL" in given and name == "hello" else one.plan
        for cell in cells(one, DEFAULT | preset | own | given):
            start = Block(cell.server, cell.interface, cell.app, cell.workers, "", ())
            found.setdefault(start, []).append(cell)
    if not found:
        raise Problem("nothing is left to measure: no such server has that interface and application")
    blocks = [start._replace(cells=tuple(dict.fromkeys(many))) for start, many in found.items()]
    first = min(blocks, key=lambda one: (one.server == NO_SERVER, one.server != "granian"))
    twins = tuple(cell._replace(pair=PAIR) for cell in first.cells if cell.scenario == asked[0])
    blocks.append(first._replace(pair=PAIR, cells=twins))
    custom = set(given) - {"QUICK", "FULL", "RUN"}
    plan = "custom" if custom else "quick" if "QUICK" in given else "full" if "FULL" in given else "default"
    wanted = DEFAULT | preset | given
    ways = sorted({cell.route for block in blocks for cell in block.cells} - {DIRECT})
    return Plan(
        plan,
        tuple(blocks),
        whole("ROUNDS", wanted["ROUNDS"], 1, 99),
        float(whole("RATE", wanted["RATE"], 1, 100_000)) if "RATE" in wanted else None,
        ways,
        seed,
        waste(given.get("DEARER", ""), serve.servers()),
    )


def cells(scenario: Scenario, wanted: Mapping[str, str]) -> list[Cell]:
    """Every cell of a scenario that there can be: what a server, an application or a protocol has not is left out.

    Beside servers, the proxies that can answer by themselves do: the limit that each row is compared with.
    """
    known = serve.servers()
    servers = chosen("SERVERS", wanted, [*known, NO_SERVER], list(known))
    interfaces = chosen("INTERFACES", wanted, list(serve.INTERFACES))
    apps = chosen("APPS", wanted, sorted({app for one in serve.INTERFACES for app in serve.apps(one)}))
    ways = chosen("PROXIES", wanted, [DIRECT, *proxies.names(), *STOCK])
    workers = [whole("WORKERS", one, 1, 64) for one in wanted["WORKERS"].replace(",", " ").split()]
    versions = chosen("HTTP", wanted, list(VERSIONS))
    modes = chosen("MODES", wanted, list(MODES))
    many = []
    for variant, way, http in product(scenario.variants, ways, versions):
        if http != "1.1" and way in (DIRECT, *STOCK):
            continue
        user = scenario.user(variant)
        for mode in (one for one in modes if one in user["modes"] and (http == "1.1" or one == "ceiling")):
            kind = Cell(scenario.name, NO_SERVER, route=way, http=http, mode=mode, variant=variant)
            many += [kind] if way in user["alone"] else []
            for server, interface, app, number in product(known, interfaces, apps, workers):
                there = server in servers and interface in known[server] and app in serve.apps(interface)
                if there and (number == 1 or not one_process(server, interface)):
                    one = kind._replace(server=server, interface=interface, app=app, workers=number, threads=8)
                    many.append(one)
    baseline = NO_SERVER in servers or any(cell.server != NO_SERVER for cell in many)
    return [cell for cell in many if baseline or cell.server != NO_SERVER]


def one_process(server: str, interface: str) -> bool:
    """Whether the server's script says that it has no workers."""
    return serve.facts(serve.HERE / "servers" / interface / f"{server}.sh")["workers"].startswith("one")


def waste(text: str, known: Mapping[str, list[str]]) -> dict[str, int]:
    """What `DEARER=granian/asgi:8` says."""
    found = {}
    for one in text.replace(",", " ").split():
        place, _, extra = one.partition(":")
        server, _, interface = place.partition("/")
        if interface not in known.get(server, []) or not extra.isdigit():
            raise Problem(f"DEARER={one} is not a server, its interface and µs a request: give such as granian/asgi:8")
        found[place] = int(extra)
    return found


def chosen(name: str, wanted: Mapping[str, str], known: list[str], usual: list[str] | None = None) -> list[str]:
    """The names of a list, in the order given; the usual ones, or all that there are, where none is named."""
    found = wanted.get(name, "").replace(",", " ").split() or usual or known
    for one in found:
        if one not in known:
            raise Problem(f"{name}={one} is not one of these: {', '.join(known)}")
    return list(dict.fromkeys(found))


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number within bounds."""
    if not (text.isdigit() and low <= int(text) <= high):
        raise Problem(f"{name}={text} is not a whole number from {low} to {high}")
    return int(text)
