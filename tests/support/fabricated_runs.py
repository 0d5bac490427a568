"""Runs of the bench that nobody measured: windows with known figures, to test what the report says of them."""

import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apps.runtime import serve
from loadtests.analysis import records
from loadtests.report import page
from loadtests.run import plan
from loadtests.window import DIRECT, NO_SERVER, PAIR

COSTS = {  # µs a request of each server's application, without a proxy
    pair: 33.0 * 1.3**place
    for place, pair in enumerate(
        (server, interface) for server, interfaces in serve.servers().items() for interface in interfaces
    )
}
PROXY_COSTS = {"nginx": (44.0, 10.0), "caddy": (180.0, 50.0)}  # µs: in front of a server, and of the own answer
STOCK_COST = 165.0  # µs of a stock configuration
SLOWER = ("uvicorn", "asgi")
MEMORY = {"memory_warm": 38, "memory": 40, "memory_peak": 42}  # MiB of the application
SATURATED = {"rule": "generator", "reason": "97 % of its core"}
LATENCY = {"p50": 0.4, "p95": 0.7, "p99": 1.1, "p99.9": 3.0, "max": 5.2}  # ms
NAMES_BEFORE = {  # what records called their fields before November 2026
    **{"route": "proxy", "pair": "twin", "invalid": "gates", "others": "host", "probe_time": "gauge"},
    **{"memory_warm": "warm", "memory_peak": "peak", "rule": "gate", "reason": "why"},
}
Record = dict[str, Any]  # a line of runs.jsonl


def make_record(server: str, interface: str, route: str, mode: str, number: int, **fields: Any) -> Record:
    """The record of a window in round `number`. A request costs the application 100 µs and its proxy 50 µs."""
    requests = fields.get("requests", 450)
    costs = {"app": 0.0 if server == NO_SERVER else 100.0, "proxy": 0.0 if route == DIRECT else 50.0}
    return {
        **{"scenario": "hello", "server": server, "interface": interface, "app": "bare" if interface else ""},
        **{"route": route, "workers": 1, "threads": 8, "http": "1.1", "pair": "", "mode": mode, "variant": ""},
        **{"round": number, "block": 0, "started": "2026-11-22T19:00:00Z", "seconds": 1.5},
        **({"offered": 300.0} if mode == "rate" else {}),
        **{"clients": 16, "requests": requests, "errors": {}, "others": 0.01, "invalid": []},
        "latency": LATENCY,
        "cpu": {part: cost * requests / 1e6 for part, cost in costs.items()} | {"generator": 0.03},
        **{moment: {"app": size * 2**20, "proxy": 9 * 2**20} for moment, size in MEMORY.items()},
        **fields,
    }


def make_default_run(
    seed: int, noise: float, drift: float = 1.0, slowdown: float = 1.0, servers: int = 99
) -> list[Record]:
    """The records of a default run: every server on each route, eight rounds, five of them in both modes.

    The machine drifts by `drift` in all and by 2 % from round to round. The starts of a server differ too, by half
    of `noise`. At the fixed rate a request costs four times as much, with four times the noise. The application of
    SLOWER costs `slowdown` times as much.
    """
    source = random.Random(seed)  # noqa: S311
    rounds = [drift * source.lognormvariate(0, 0.02) for _ in range(8)]
    blocks = [(*pair, "") for pair in list(COSTS)[:servers]] + [("granian", "asgi", PAIR), (NO_SERVER, "", "")]
    records_of_run = []
    for number, machine in enumerate(rounds):
        for server, interface, pair in blocks:
            luck = source.lognormvariate(0, noise / 2)
            factor = slowdown if (server, interface) == SLOWER else 1
            app = COSTS.get((server, interface), 0.0) * factor * luck
            routes = (DIRECT, *PROXY_COSTS) if interface else PROXY_COSTS
            for route, mode in itertools.product(routes, ("rate", "ceiling")):
                if mode == "rate" and number >= plan.RATES:
                    continue
                costs = {"app": app, "proxy": PROXY_COSTS[route][server == NO_SERVER] if route in PROXY_COSTS else 0.0}
                fields = make_noisy_fields(source, mode, noise, {part: cost * machine for part, cost in costs.items()})
                records_of_run.append(make_record(server, interface, route, mode, number, pair=pair, **fields))
    return records_of_run


def make_noisy_fields(source: random.Random, mode: str, noise: float, costs: dict[str, float]) -> Record:
    """The fields of a window in which a request costs these µs by part, with noise."""
    waits, spread = (4, 4 * noise) if mode == "rate" else (1, noise)
    factor = waits * source.lognormvariate(0, spread)
    noisy = {part: cost * factor * source.lognormvariate(0, spread / 2) for part, cost in costs.items()}
    total = sum(noisy.values()) * source.lognormvariate(0, noise / 2)
    requests = 450 if mode == "rate" else round(1.5e6 / total)
    return {
        "requests": requests,
        "cpu": {part: cost * requests / 1e6 for part, cost in noisy.items()} | {"generator": 0.03},
        "latency": {"p50": total / 700, "p95": total / 300, "p99": total / 100, "mean": total / 600},
    }


def make_run(folder: Path, lines: Sequence[Record], **machine: Any) -> records.Run:
    """A run on disk, read again."""
    folder.mkdir(parents=True)
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    conditions = {
        **{"cores": 2, "cpu": "a <CPU>", "engine": "Docker 28", "rounds": 5, "windows": len(lines)},
        **{"interrupted": False, "versions": {"granian": "2.8.7"}},
    }
    (folder / "machine.json").write_text(json.dumps({**conditions, **machine}))
    return records.read(folder)


def rename_back(record: Record) -> Record:
    """A record under the names of before November 2026."""
    old = {NAMES_BEFORE.get(name, name): value for name, value in record.items()}
    if "gates" in old:
        old["gates"] = [{NAMES_BEFORE[name]: text for name, text in entry.items()} for entry in old["gates"]]
    return old


def write_report(run: records.Run) -> tuple[str, str]:
    """A run's report: HTML and Markdown."""
    html, markdown = page.write(run.folder)
    return html.read_text(), markdown.read_text()


def make_scenario(scenario: str, routes: Sequence[str], **fields: Any) -> list[Record]:
    """Five rounds of a few servers in one scenario and mode. A field may be a function of server and route."""
    source, noise = random.Random(f"{scenario}{fields.get('variant')}"), 0.02  # noqa: S311
    servers = fields.pop("servers", [("granian", "asgi"), ("uvicorn", "asgi"), ("gunicorn", "wsgi")])
    lines = []
    for number, (server, interface), route in itertools.product(range(5), servers, routes):
        own = {name: value(server, route) if callable(value) else value for name, value in fields.items()}
        proxy_cost = 0.0 if route == DIRECT else PROXY_COSTS.get(route, (STOCK_COST,))[0]
        costs = {"app": COSTS.get((server, interface), 0.0), "proxy": proxy_cost}
        costs = {part: cost * source.lognormvariate(0, noise) for part, cost in costs.items()}
        mode = own.pop("mode", "ceiling")
        requests = own.pop("requests", 450 if mode == "rate" else 1.5e6 / sum(costs.values()))
        requests = round(requests * (source.lognormvariate(0, noise) if mode == "ceiling" else 1))
        cpu = {part: cost * requests / 1e6 for part, cost in costs.items()} | {"generator": own.pop("generator", 0.03)}
        own |= {"scenario": scenario, "requests": requests, "cpu": cpu}
        lines.append(make_record(server, interface, route, mode, number, **own))
    return lines


def make_slow_latency(clients: int) -> Callable[[str, str], dict[str, float]]:
    """The latency beside slow clients. Each slow client delays uvicorn's direct answers by 1 %."""

    def find_latency(server: str, route: str) -> dict[str, float]:
        is_delayed = route == DIRECT and server == "uvicorn"
        return {"p50": 1.0, "p99": 2.0 * (1 + clients / 100 if is_delayed else 1.1)}

    return find_latency


def make_slow_invalidity(clients: int) -> Callable[[str, str], list[dict[str, str]]]:
    """The invalidities beside slow clients: they hold all threads of gunicorn, direct."""
    invalidity = {"rule": "rate", "reason": "12 % of the offered 300 requests/s were delivered"}
    return lambda server, route: [invalidity] if clients and route == DIRECT and server == "gunicorn" else []


def make_findings_run() -> list[Record]:
    """Records of every scenario with findings, made so that the answers are known."""
    lines: list[Record] = []
    for slow in (0, 16, 64, 256):
        latency, invalid = make_slow_latency(slow), make_slow_invalidity(slow)
        fields: dict[str, Any] = {"variant": f"Slow{slow}", "mode": "rate", "latency": latency, "invalid": invalid}
        lines += make_scenario("slow", (DIRECT, "nginx"), **fields)
    granian = [("granian", "asgi")]
    for variant, generator in (("Lean", 0.5), ("Fast", 1.25)):
        fields = {"requests": 12000, "generator": generator, "invalid": [SATURATED], "servers": granian}
        lines += make_scenario("generator", (DIRECT,), variant=variant, **fields)
    for workers in (1, 2):
        lines += make_scenario("burn", (DIRECT,), workers=workers, requests=lambda *_, n=workers: 900 * n)
    for scenario in ("events", "sockets"):
        memory = {"app": (38 + 8) * 2**20, "proxy": 9 * 2**20}  # 8 MiB on 64 clients
        lines += make_scenario(scenario, (DIRECT, "nginx"), clients=64, requests=9000, memory=memory)
    lines += make_scenario("stock", (DIRECT, "nginx", "nginx-stock", "caddy", "caddy-stock"))
    own_answers = make_scenario("stock", ("nginx",), servers=[(NO_SERVER, "")], app="", requests=30000)
    lines += [record | {"cpu": {"proxy": 0.3, "generator": 0.03}} for record in own_answers]
    lines += make_scenario(
        "wait", (DIRECT,), variant="Wait10", requests=lambda server, _: 2000 if server == "granian" else 1200
    )
    lines += make_scenario("wait", (DIRECT,), variant="Wait100", clients=64, requests=600)
    for http in ("1.1", "2", "3"):
        lines += make_scenario("protocols", ("nginx", "caddy"), http=http, servers=granian)
    for app in ("bare", "fastapi", "django"):
        lines += make_scenario("frameworks", (DIRECT,), app=app, requests=5000)
    return lines
