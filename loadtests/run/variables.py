"""Reads the variables on make's command line into a plan."""

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from apps.runtime import serve
from loadtests.run.plan import Block, Plan
from loadtests.scenarios import Scenario, scenarios
from loadtests.window import BY_HAND, DIRECT, NO_SERVER, PAIR, STOCK, Cell
from stack import Problem, proxies, settings

COMPOSE_FILE = Path(__file__).parent / "compose.yaml"
VARIABLES = settings.FOR_BENCH | {"WORKERS"}
FORMER_VARIABLES = {"DEARER": "SLOWDOWN"}  # in the plans of runs before November 2026
HTTP_VERSIONS = ("1.1", "2", "3")
MODES = ("rate", "ceiling")
THREADS = 8  # of servers that have threads
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


def read_plan(environ: Mapping[str, str], seed: int) -> Plan:
    """The plan that the variables ask for; `Problem` names the first that is wrong, and what would be right."""
    variables = {name: environ[name] for name in VARIABLES if environ.get(name)}
    if "QUICK" in variables and "FULL" in variables:
        raise Problem("QUICK and FULL are two plans: give one")
    preset = QUICK if "QUICK" in variables else FULL if "FULL" in variables else {}
    values = DEFAULT | preset | variables
    names = read_names("SCENARIOS", values, list(scenarios()))
    cells: list[Cell] = []
    for name in names:
        scenario = scenarios()[name]
        own = FULL_HELLO if "FULL" in variables and name == "hello" else scenario.plan
        cells += list_cells(scenario, DEFAULT | preset | own | variables)
    if not cells:
        raise Problem("nothing is left to measure: no such server has that interface and application")
    blocks = make_blocks(cells, names[0])
    return Plan(
        name_plan(variables),
        tuple(blocks),
        read_whole_number("ROUNDS", values["ROUNDS"], 1, 99),
        float(read_whole_number("RATE", values["RATE"], 1, 100_000)) if "RATE" in values else None,
        sorted({cell.route for block in blocks for cell in block.cells} - {DIRECT}),
        seed,
        read_slowdown(variables.get("SLOWDOWN", ""), serve.servers()),
    )


def name_plan(variables: Mapping[str, str]) -> str:
    """The name of the plan, for the run's folder."""
    if variables.keys() - {"QUICK", "FULL", "RUN"}:
        return "custom"
    return "quick" if "QUICK" in variables else "full" if "FULL" in variables else "default"


def make_blocks(cells: list[Cell], pair_scenario: str) -> list[Block]:
    """The blocks of some cells, and one that is the second half of the A/A pairs.

    The pairs are the cells of one scenario in one block: granian's, or the first, or the proxies' own answers.
    """
    cells_of: dict[Block, list[Cell]] = {}
    for cell in cells:
        start = Block(cell.server, cell.interface, cell.app, cell.workers, "", ())
        cells_of.setdefault(start, []).append(cell)
    blocks = [start._replace(cells=tuple(dict.fromkeys(own))) for start, own in cells_of.items()]
    first = min(blocks, key=lambda block: (block.server == NO_SERVER, block.server != "granian"))
    second_half = tuple(cell._replace(pair=PAIR) for cell in first.cells if cell.scenario == pair_scenario)
    return [*blocks, first._replace(pair=PAIR, cells=second_half)]


def list_cells(scenario: Scenario, values: Mapping[str, str]) -> list[Cell]:
    """Every cell of a scenario that is possible: servers, applications and protocols lack some.

    The cells include the own answers of proxies that can answer by themselves. Each row is compared with this limit.
    """
    registry = serve.servers()
    servers = read_names("SERVERS", values, [*registry, NO_SERVER], list(registry))
    starts = list_starts(values, [server for server in servers if server != NO_SERVER])
    routes = read_names("PROXIES", values, [DIRECT, *proxies.names(), *list_stock_routes()])
    versions = read_names("HTTP", values, list(HTTP_VERSIONS))
    modes = read_names("MODES", values, list(MODES))
    cells = []
    for variant, route, http in product(scenario.variants, routes, versions):
        if http != "1.1" and (route == DIRECT or route.endswith(STOCK)):
            continue
        user = scenario.user(variant)
        for mode in (mode for mode in modes if mode in user["modes"] and (http == "1.1" or mode == "ceiling")):
            baseline = Cell(scenario.name, NO_SERVER, route=route, http=http, mode=mode, variant=variant)
            cells += [baseline] if route in user["own_answer"] else []
            cells += [
                baseline._replace(
                    server=start.server,
                    interface=start.interface,
                    app=start.app,
                    workers=start.workers,
                    threads=THREADS,
                )
                for start in starts
            ]
    has_baseline = NO_SERVER in servers or any(cell.server != NO_SERVER for cell in cells)
    return [cell for cell in cells if has_baseline or cell.server != NO_SERVER]


def list_starts(values: Mapping[str, str], servers: list[str]) -> list[Block]:
    """A block without cells for every server, interface, application and number of workers that exist together."""
    registry = serve.servers()
    interfaces = read_names("INTERFACES", values, list(serve.INTERFACES))
    names = sorted({app for interface in serve.INTERFACES for app in serve.apps(interface)})
    apps = read_names("APPS", values, [*names, f"bare{BY_HAND}"], names)
    workers = [read_whole_number("WORKERS", text, 1, 64) for text in values["WORKERS"].replace(",", " ").split()]
    return [
        Block(server, interface, app, number, "", ())
        for server, interface, app, number in product(registry, interfaces, apps, workers)
        if server in servers and interface in registry[server] and app.removesuffix(BY_HAND) in serve.apps(interface)
        if number == 1 or not has_one_process(server, interface)
    ]


def list_stock_routes() -> list[str]:
    """The routes through a stock configuration: services of compose.yaml."""
    return re.findall(rf"^  (\w+{STOCK}):", COMPOSE_FILE.read_text(), re.MULTILINE)


def has_one_process(server: str, interface: str) -> bool:
    """Whether the server's script says that it has no workers."""
    return serve.facts(serve.SERVERS / interface / f"{server}.sh")["workers"].startswith("one")


def read_slowdown(text: str, servers: Mapping[str, list[str]]) -> dict[str, int]:
    """The planted slowdowns in µs by server and interface: `granian/asgi:8`."""
    slowdown = {}
    for word in text.replace(",", " ").split():
        place, _, microseconds = word.partition(":")
        server, _, interface = place.partition("/")
        if interface not in servers.get(server, []) or not microseconds.isdigit():
            raise Problem(
                f"SLOWDOWN={word} is not a server, its interface and µs a request: give such as granian/asgi:8"
            )
        slowdown[place] = int(microseconds)
    return slowdown


def read_names(name: str, values: Mapping[str, str], choices: list[str], usual: list[str] | None = None) -> list[str]:
    """The names in a variable, in their order; where it has none, the usual ones, or all choices."""
    names = values.get(name, "").replace(",", " ").split() or usual or choices
    for choice in names:
        if choice not in choices:
            raise Problem(f"{name}={choice} is not one of these: {', '.join(choices)}")
    return list(dict.fromkeys(names))


def read_whole_number(name: str, text: str, low: int, high: int) -> int:
    """A whole number within bounds."""
    if not (text.isdigit() and low <= int(text) <= high):
        raise Problem(f"{name}={text} is not a whole number from {low} to {high}")
    return int(text)
