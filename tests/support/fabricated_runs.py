"""Runs of the bench that were never measured: windows with known figures, to test what is said of them."""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps import serve
from loadtests.analysis import records
from loadtests.report import page
from loadtests.run import plan

COSTS = {  # µs a request, each server's application by itself
    name: 33.0 * 1.3**place
    for place, name in enumerate((server, one) for server, many in serve.servers().items() for one in many)
}
OWN = {"nginx": (44.0, 10.0), "caddy": (180.0, 50.0)}  # µs: in front of a server, and by itself
SLOWER = ("uvicorn", "asgi")
MEMORY = {"warm": 38, "memory": 40, "peak": 42}  # MiB of the application
SATURATED = {"gate": "generator", "why": "97 % of its core"}


def window(server: str, interface: str, proxy: str, mode: str, number: int, **more: Any) -> dict[str, Any]:
    """A window that cost the application 100 µs a request and its proxy 50."""
    requests = more.get("requests", 450)
    costs = {"app": 0.0 if server == "none" else 100.0, "proxy": 0.0 if proxy == "direct" else 50.0}
    return {
        **{"scenario": "hello", "server": server, "interface": interface, "app": "bare" if interface else ""},
        **{"proxy": proxy, "workers": 1, "threads": 8, "http": "1.1", "twin": "", "mode": mode, "variant": ""},
        **{"round": number, "block": 0, "started": "2026-11-22T19:00:00Z", "seconds": 1.5},
        **({"offered": 300.0} if mode == "rate" else {}),
        **{"clients": 16, "requests": requests, "errors": {}, "host": 0.01, "gates": []},
        "latency": {"p50": 0.4, "p95": 0.7, "p99": 1.1, "p99.9": 3.0, "max": 5.2},
        "cpu": {name: cost * requests / 1e6 for name, cost in costs.items()} | {"generator": 0.03},
        **{when: {"app": size * 2**20, "proxy": 9 * 2**20} for when, size in MEMORY.items()},
        **more,
    }


def default(
    seed: int, noise: float, drift: float = 1.0, dearer: float = 1.0, servers: int = 99
) -> list[dict[str, Any]]:
    """The windows of a default run: every server, each way, eight rounds, five of them in both modes.

    The machine drifts by `drift` in all and by 2 % from round to round, and every start of a server has a luck of its
    own, half of `noise`. At the fixed rate a request costs four times as much, with four times the noise. SLOWER costs
    its app `dearer` times as much.
    """
    source, lines = random.Random(seed), []  # noqa: S311
    rounds = [drift * source.lognormvariate(0, 0.02) for _ in range(8)]
    blocks = [(*pair, "") for pair in list(COSTS)[:servers]] + [("granian", "asgi", "A/A"), ("none", "", "")]
    for number, machine in enumerate(rounds):
        for server, interface, twin in blocks:
            luck = source.lognormvariate(0, noise / 2)
            app = COSTS.get((server, interface), 0.0) * (dearer if (server, interface) == SLOWER else 1) * luck
            for proxy, mode in itertools.product(("direct", *OWN) if interface else OWN, ("rate", "ceiling")):
                if mode == "rate" and number >= plan.RATES:
                    continue
                waits, spread = (4, 4 * noise) if mode == "rate" else (1, noise)
                parts = {"app": app, "proxy": OWN[proxy][server == "none"] if proxy in OWN else 0.0}
                moved = machine * waits * source.lognormvariate(0, spread)
                cost = {name: value * moved * source.lognormvariate(0, spread / 2) for name, value in parts.items()}
                whole = sum(cost.values()) * source.lognormvariate(0, noise / 2)
                requests = 450 if mode == "rate" else round(1.5e6 / whole)
                cpu = {name: value * requests / 1e6 for name, value in cost.items()} | {"generator": 0.03}
                latency = {"p50": whole / 700, "p95": whole / 300, "p99": whole / 100, "mean": whole / 600}
                more = {"requests": requests, "cpu": cpu, "latency": latency, "twin": twin}
                lines.append(window(server, interface, proxy, mode, number, **more))
    return lines


def made(folder: Path, lines: list[dict[str, Any]], **machine: Any) -> records.Run:
    """A run on disk, read again."""
    folder.mkdir(parents=True)
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = {
        "cores": 2,
        "cpu": "a <CPU>",
        "engine": "Docker 28",
        "rounds": 5,
        "windows": len(lines),
        "interrupted": False,
    }
    (folder / "machine.json").write_text(json.dumps({**facts, "versions": {"granian": "2.8.7"}, **machine}))
    return records.read(folder)


def written(run: records.Run) -> tuple[str, str]:
    """A run's report: HTML and Markdown."""
    html, markdown = page.write(run.folder)
    return html.read_text(), markdown.read_text()


def cells(scenario: str, ways: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    """Five rounds of a few servers in one scenario and mode; `more` may hold functions of server and way."""
    source, lines, noise = random.Random(f"{scenario}{more.get('variant')}"), [], 0.02  # noqa: S311
    servers = [("granian", "asgi"), ("uvicorn", "asgi"), ("gunicorn", "wsgi")]
    for number, (server, interface), way in itertools.product(range(5), more.get("servers", servers), ways):
        own = {
            name: value(server, way) if callable(value) else value for name, value in more.items() if name != "servers"
        }
        cost = {"app": COSTS.get((server, interface), 0.0), "proxy": OWN.get(way, (165.0,))[0] * (way != "direct")}
        cost = {name: value * source.lognormvariate(0, noise) for name, value in cost.items()}
        mode = own.pop("mode", "ceiling")
        requests = own.pop("requests", 450 if mode == "rate" else 1.5e6 / sum(cost.values()))
        requests = round(requests * (source.lognormvariate(0, noise) if mode == "ceiling" else 1))
        cpu = {name: value * requests / 1e6 for name, value in cost.items()} | {"generator": own.pop("generator", 0.03)}
        lines.append(window(server, interface, way, mode, number, scenario=scenario, requests=requests, cpu=cpu, **own))
    return lines


def special() -> list[dict[str, Any]]:
    """Windows of every scenario whose question no grid answers, made so that the answers are known."""
    lines: list[dict[str, Any]] = []
    for slow in (0, 16, 64, 256):  # direct, gunicorn's threads are all held by 16; nothing reaches it through a proxy
        held = {"gate": "rate", "why": "12 % of the offered 300 requests/s were delivered"}
        lines += cells(
            "slow",
            ("direct", "nginx"),
            variant=f"Slow{slow}",
            mode="rate",
            latency=lambda server, way, slow=slow: {
                "p50": 1.0,
                "p99": 2.0 * (1 + slow / 100 if way == "direct" and server == "uvicorn" else 1.1),
            },
            gates=lambda server, way, slow=slow, held=held: (
                [held] if slow and way == "direct" and server == "gunicorn" else []
            ),
        )
    granian = [("granian", "asgi")]
    for variant, used in (("Lean", 0.5), ("Fast", 1.25)):
        more: dict[str, Any] = {"requests": 12000, "generator": used, "gates": [SATURATED], "servers": granian}
        lines += cells("generator", ("direct",), variant=variant, **more)
    for workers in (1, 2):
        lines += cells("burn", ("direct",), workers=workers, requests=lambda *_, n=workers: 900 * n)
    for scenario in ("events", "sockets"):
        grown = {"app": (38 + 8) * 2**20, "proxy": 9 * 2**20}  # 8 MiB on 64 clients
        lines += cells(scenario, ("direct", "nginx"), clients=64, requests=9000, memory=grown)
    lines += cells("stock", ("direct", "nginx", "nginx-stock", "caddy", "caddy-stock"))
    none = [("none", "")]
    own: dict[str, Any] = {"servers": none, "app": "", "requests": 30000}
    lines += [one | {"cpu": {"proxy": 0.3, "generator": 0.03}} for one in cells("stock", ("nginx",), **own)]
    lines += cells(
        "wait", ("direct",), variant="Wait10", requests=lambda server, way: 2000 if server == "granian" else 1200
    )
    lines += cells("wait", ("direct",), variant="Wait100", clients=64, requests=600)
    for http in ("1.1", "2", "3"):
        lines += cells("protocols", ("nginx", "caddy"), http=http, servers=granian)
    for app in ("bare", "fastapi", "django"):
        lines += cells("frameworks", ("direct",), app=app, requests=5000)
    return lines
