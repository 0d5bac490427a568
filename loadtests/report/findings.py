"""The report's findings: what a scenario asks beside the questions of every scenario, by the scenario's name.

A ratio divides figures of the same round, so the machine's drift is not in it. Each ratio has its 95 % interval.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from loadtests.analysis import measures
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import MeasuredCell, Run
from loadtests.analysis.wording import format_number, name_cell, name_cell_and_route
from loadtests.report.model import Part, Table, join_sentences
from loadtests.report.selection import (
    compare_cells,
    divide,
    format_or_dash,
    format_range,
    read_digits,
    read_user_fact,
    select_cells,
)
from loadtests.report.slow_clients import find_slow_clients
from loadtests.window import BY_HAND, DIRECT, NO_SERVER, Cell

Finding = Callable[[Run, str], Part | None]
GATEWAY_LIMIT = 1.05  # most CPU time with the loader and the gateway, as a share of the same server by hand
STOCK_LIMITS = {"nginx": 0.3, "caddy": 0.9}  # most CPU time of our configuration, as a share of the stock one's
# The most that application and NGINX together may cost: LEAST_LIMIT x (the server direct + OWN_ANSWERS own answers).
LEAST_LIMIT, OWN_ANSWERS = 1.2, 3


def compare_users(run: Run, scenario: str) -> Part | None:
    """How many more requests the lean user sends than Locust's own, for the same CPU time of the generator."""
    lines, middles = [], []
    for cell, lean in select_cells(run, scenario, variant="Lean").items():
        if fast := run.cells.get(cell._replace(variant="Fast")):
            texts, ratio = compare_cells(lean, fast, measures.SENT)
            lines.append([name_cell_and_route(cell), *texts])
            middles += [ratio.middle] if ratio else []
    if not lines:
        return None
    answer = (
        f"the lean user sends {format_range(middles)} times as many as FastHttpUser" if middles else "no window counts"
    )
    return Part(
        "How many requests for a CPU second of the generator?",
        join_sentences(answer),
        tables=[Table(["server", "lean user, /s", "FastHttpUser, /s", "ratio (95 %)"], lines)],
        text="Each user keeps a generator busy, so its windows break the rule “generator”. Its work for that CPU time "
        "counts.",
    )


def compare_workers(run: Run, scenario: str) -> Part | None:
    """How much more two workers answer than one."""
    lines, middles = [], []
    for cell, single in select_cells(run, scenario, mode="ceiling", workers=1).items():
        if double := run.cells.get(cell._replace(workers=2)):
            (of_two, of_single, times), ratio = compare_cells(double, single, measures.THROUGHPUT)
            middles += [ratio.middle] if ratio else []
            lines.append([name_cell_and_route(cell), of_single, of_two, times])
    if not lines:
        return None
    cores = run.stack_cores or "an unknown number of"
    answer = "no window counts"
    if middles:
        times = f"{format_range(middles)} times as many requests as one"
        answer = f"on {cores} core{'s' * (cores != 1)} two workers answer {times}"
    return Part(
        "What does a second worker bring?",
        join_sentences(answer),
        tables=[Table(["server", "1 worker, /s", "2 workers, /s", "ratio (95 %)"], lines)],
    )


def measure_client_memory(run: Run, scenario: str) -> Part | None:
    """How much of the server's memory a connected client holds: the growth since warm-up, for each client.

    Memory is rarely given back, so only the user with the most clients shows it.
    """
    growth: dict[Cell, dict[int, list[float]]] = {}  # KiB of each window, by the number of clients
    for cell, measured in select_cells(run, scenario, mode="ceiling").items():
        for window in measured.find_windows(measures.WARM_MEMORY):
            if window.clients and "app" in window.memory_warm:
                grown = (window.memory["app"] - window.memory_warm["app"]) / window.clients / 1024
                growth.setdefault(cell._replace(variant=""), {}).setdefault(window.clients, []).append(grown)
    lines, middles = [], []
    for cell, by_clients in growth.items():
        clients = max(by_clients)
        grown_values = by_clients[clients]
        middle = statistics.median(grown_values)
        middles += [middle] if middle > 0 else []
        ends = f"{min(grown_values):.1f} to {max(grown_values):.1f}"
        figure = f"{middle:.1f} ({ends})" if middle > 0 else f"none to be seen ({ends})"
        lines.append([name_cell_and_route(cell), str(clients), figure])
    if not lines:
        return None
    answer = join_sentences(format_range(middles, " KiB") if middles else "too little to be seen")
    table = Table(["server", "clients", "memory for each, KiB (least to most)"], lines)
    return Part("How much memory does a client take?", answer, tables=[table])


def compare_with_littles_law(run: Run, scenario: str) -> Part | None:
    """How near each server comes to what its clients, or its threads, allow at most."""
    lines, shares = [], []
    for cell, measured in select_cells(run, scenario, mode="ceiling").items():
        wait = read_digits(read_user_fact(cell, "path", cell.variant)) / 1000
        windows = measured.find_windows(measures.THROUGHPUT)
        if not (wait and windows):
            continue
        allowed = windows[0].clients / wait
        median = measured.find_median(measures.THROUGHPUT)
        share = median.middle / allowed if median else None
        shares += [(share, cell)] if share else []
        has_threads = cell.interface == "wsgi" and cell.threads
        by_threads = format_number(cell.threads * cell.workers / wait) if has_threads else "–"
        figures = [format_or_dash(median), format_number(allowed), f"{share:.0%}" if share else "–", by_threads]
        lines.append([f"{1000 * wait:g} ms", name_cell_and_route(cell), *figures])
    if not lines:
        return None
    answer = "no window counts"
    if shares:
        (most, best), (least, last) = max(shares), min(shares)
        answer = (
            f"{name_cell_and_route(best)} comes nearest, with {most:.0%}; "
            f"{name_cell_and_route(last)} is farthest, with {least:.0%}"
        )
    return Part(
        "How near do they come to what waiting allows?",
        join_sentences(answer),
        tables=[Table(["wait", "server", "requests/s", "clients ÷ wait", "share", "threads ÷ wait"], lines)],
        text="Little's law: at most clients ÷ wait requests a second, and with threads at most threads ÷ wait.",
    )


def judge_limit(ratio: Interval | None, most: float) -> str:
    """Whether a ratio keeps its limit. There is a verdict only where the whole interval is on one side of the limit."""
    if not ratio:
        return "not measured"
    return "met" if ratio.high <= most else "missed" if ratio.low > most else "open: the interval holds the limit"


def compare_with_stock(run: Run, scenario: str) -> Part | None:
    """What our configuration of a proxy costs, against the shortest configuration that proxies."""
    lines, clauses = [], []
    for proxy, limit in STOCK_LIMITS.items():
        middles = []
        for cell, ours in select_cells(run, scenario, route=proxy, mode="ceiling", http="1.1").items():
            stock = run.cells.get(cell._replace(route=f"{proxy}-stock"))
            if cell.server == NO_SERVER or not stock:
                continue
            texts, ratio = compare_cells(ours, stock, measures.PROXY)
            lines.append([proxy, name_cell(cell), *texts, f"{limit:g}", judge_limit(ratio, limit)])
            middles += [ratio.middle] if ratio else []
        if middles:
            clauses.append(f"{proxy} takes {format_range(middles)} times the CPU time of its stock configuration")
    if not lines:
        return None
    columns = ["proxy", "server", "ours, µs", "stock, µs", "ratio (95 %)", "at most", "verdict"]
    question = "What does our proxy cost, against a stock configuration?"
    return Part(question, join_sentences(*clauses or ["no window counts"]), tables=[Table(columns, lines)])


def compare_with_by_hand(run: Run, scenario: str) -> Part | None:
    """What the loader and the gateway cost, against the same server command by hand."""
    lines, middles = [], []
    for cell, ours in select_cells(run, scenario, mode="ceiling", http="1.1").items():
        by_hand = run.cells.get(cell._replace(app=f"{cell.app}{BY_HAND}"))
        if not by_hand or cell.pair:
            continue
        texts, ratio = compare_cells(ours, by_hand, measures.COST)
        lines.append([name_cell(cell), *texts, f"{GATEWAY_LIMIT:g}", judge_limit(ratio, GATEWAY_LIMIT)])
        middles += [ratio.middle] if ratio else []
    if not lines:
        return None
    columns = ["server", "with the gateway, µs", "by hand, µs", "ratio (95 %)", "at most", "verdict"]
    answer = f"{format_range(middles)} times the CPU time by hand" if middles else "no window counts"
    return Part("What do the loader and the gateway cost?", join_sentences(answer), tables=[Table(columns, lines)])


def compare_with_least(run: Run, scenario: str) -> Part | None:
    """What application and NGINX cost together, against the server direct and a few of NGINX's own answers."""
    lines, middles = [], []
    for cell, behind, direct, own_answer in list_behind_nginx(run, scenario):
        direct_cost, own_cost = direct.read_values(measures.COST), own_answer.read_values(measures.PROXY)
        common = direct_cost.keys() & own_cost.keys()
        least = {number: direct_cost[number] + OWN_ANSWERS * own_cost[number] for number in common}
        ratio = divide(behind.read_values(measures.COST), least)
        middles += [ratio.middle] if ratio else []
        least_text = format_number(statistics.median(least.values())) if least else "–"
        cost = format_or_dash(behind.find_median(measures.COST))
        lines.append([name_cell(cell), cost, least_text, format_or_dash(ratio), judge_limit(ratio, LEAST_LIMIT)])
    if not lines:
        return None
    formula = f"direct + {OWN_ANSWERS} × NGINX's own answer"
    columns = ["server", "app + nginx, µs", f"{formula}, µs", "ratio (95 %)", f"at most {LEAST_LIMIT:g}"]
    return Part(
        "What do app and NGINX cost together, over the least that they could?",
        join_sentences(f"{format_range(middles)} times {formula}" if middles else "no window counts"),
        tables=[Table(columns, lines)],
    )


def list_behind_nginx(run: Run, scenario: str) -> Iterator[tuple[Cell, MeasuredCell, MeasuredCell, MeasuredCell]]:
    """Each server's ceiling behind NGINX and direct, with NGINX's own answer; none where that was not measured."""
    own_answer = find_own_answer(run, scenario)
    for cell, behind in select_cells(run, scenario, route="nginx", mode="ceiling", http="1.1").items():
        direct = run.cells.get(cell._replace(route=DIRECT))
        if cell.server != NO_SERVER and own_answer and direct:
            yield cell, behind, direct, own_answer


def find_own_answer(run: Run, scenario: str) -> MeasuredCell | None:
    """NGINX's answer without a server: of this scenario, else of hello."""
    for name in (scenario, "hello"):
        for cell, measured in run.cells.items():
            fields = (cell.scenario, cell.server, cell.route, cell.mode, cell.http)
            if fields == (name, NO_SERVER, "nginx", "ceiling", "1.1"):
                return measured
    return None


Findings = Mapping[str, Sequence[Finding]]
BEFORE_QUESTIONS: Findings = {
    "burn": (compare_workers,),
    "gateway": (compare_with_by_hand,),
    "generator": (compare_users,),
    "slow": (find_slow_clients,),
    "stock": (compare_with_stock, compare_with_least),
    "wait": (compare_with_littles_law,),
}
AFTER_QUESTIONS: Findings = {
    "events": (measure_client_memory,),
    "hello": (compare_with_least,),
    "sockets": (measure_client_memory,),
}
WITHOUT_QUESTIONS = {"generator", "slow"}  # the questions of every scenario would say nothing here


def find_parts(run: Run, scenario: str, findings: Findings) -> list[Part]:
    """A scenario's findings, of which something was measured."""
    parts = (find(run, scenario) for find in findings.get(scenario, ()))
    return [part for part in parts if part]
