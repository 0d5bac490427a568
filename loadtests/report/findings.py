"""What a scenario asks that no grid of servers and ways answers: its own parts, by the scenario's name.

A ratio is one of figures of the same round, with its 95 % interval, so that the machine's drift is not in it.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from loadtests.analysis import intervals, records
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import Record, Run
from loadtests.report.grid import Part, Table, heading, sentences, shown
from loadtests.report.plots import number
from loadtests.scenarios import scenarios
from loadtests.window import NO_SERVER, Cell

Make = Callable[[Run, str], Part | None]
SUFFERS = 2  # times the latency without slow clients
BARS = {"nginx": 0.3, "caddy": 0.9}  # of the stock configuration's CPU time, at most
BEYOND, TIMES = 1.2, 3  # app and NGINX, at most, over the server direct and so many times NGINX's own answer


def fact(cell: Cell, name: str, default: Any) -> Any:
    """What a cell's user says of itself; the default where the scenario is no longer known."""
    known = scenarios().get(cell.scenario)
    return known.user(cell.variant).get(name, default) if known and cell.variant in (*known.users, "") else default


def of(run: Run, scenario: str, **fields: Any) -> dict[Cell, Record]:
    """The cells of a scenario that have these fields, without those under a second name."""
    return {
        cell: record
        for cell, record in run.records.items()
        if cell.scenario == scenario and not cell.pair and all(getattr(cell, k) == v for k, v in fields.items())
    }


def ratio(over: dict[int, float], under: dict[int, float]) -> Interval | None:
    """How many times as much, from the values of each round; None where either has none."""
    return intervals.paired(under, over) if over and under else None


def where(cell: Cell) -> str:
    """A cell's server and way."""
    return f"{records.label(cell)} {heading(cell.route)}"


def span(found: Sequence[float], unit: str = "") -> str:
    """Some figures in words: from the least to the most."""
    ends = dict.fromkeys(number(one) for one in (min(found), max(found)))
    return " to ".join(ends) + unit


def slow(run: Run, scenario: str) -> Part | None:
    """Up to how many slow clients the others do not suffer: their p99 is at most twice that without any."""
    rows: dict[Cell, dict[int, Record]] = {}
    for cell, record in of(run, scenario, mode="rate").items():
        companions = fact(cell, "companions", int("".join(filter(str.isdigit, cell.variant)) or 0))
        rows.setdefault(cell._replace(variant=""), {})[companions] = record
    numbers = sorted({one for row in rows.values() for one in row})
    if not numbers[1:]:
        return None
    lines: list[list[str]] = []
    groups: dict[tuple[int, str], list[str]] = {}
    for cell, row in rows.items():
        usual = row[0].median(records.P99) if 0 in row else None
        marks = {one: suffers(row.get(one), usual) for one in numbers}
        first = next((one for one in numbers if marks[one]), None)  # the first number that is not known to be borne
        borne = [one for one in numbers if first is None or one < first]
        word = f"{max(borne)}{' or more' if first is None or marks[first] == '?' else ''}" if borne else "not known"
        groups.setdefault((max(borne, default=-1), word), []).append(where(cell))
        lines.append([where(cell), *(f"{told(row.get(one))} {marks[one]}".strip() for one in numbers), word])
    known = {word: names for (most, word), names in sorted(groups.items()) if most >= 0}
    answer = "; ".join(f"up to {word} slow clients: {few(names)}" for word, names in known.items())
    columns = ["server", *(f"{one} slow: p99, ms" for one in numbers), "do not suffer up to"]
    return Part(
        "With how many slow clients do the others not suffer?",
        sentences(answer or "no window counts"),
        tables=[Table(columns, lines)],
        text=f"(!): a p99 of more than {SUFFERS} times that without any, errors, or less than the rate. ?: not known.",
    )


def suffers(record: Record | None, usual: Interval | None) -> str:
    """Whether others suffer in a cell: "(!)", or "?" where the machine or the generator, not the server, hides it."""
    windows = [window for window in record.windows if not window.rules & {*records.OWN}] if record else []
    if not (record and usual and windows):
        return "?"
    found = record.median(records.P99)
    many = 2 * len(record.counted(records.P99)) > len(windows)
    return "" if found and many and found.middle <= SUFFERS * usual.middle else "(!)"


def told(record: Record | None) -> str:
    """A cell's p99, or why it has none."""
    found = record.median(records.P99) if record else None
    return shown(found) if found else gate(record)


def gate(record: Record | None) -> str:
    """Why there is no figure."""
    reasons = dict.fromkeys(one.rule for window in (record.gated if record else []) for one in window.invalid)
    return "gated: " + ", ".join(reasons) if reasons else "–"


def few(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def generator(run: Run, scenario: str) -> Part | None:
    """How much more the lean user asks than Locust's own, for the same CPU time of the generator."""
    pairs = []
    for cell, lean in of(run, scenario, variant="Lean").items():
        if fast := run.records.get(cell._replace(variant="Fast")):
            pairs.append((cell, lean, fast))
    lines, found = [], []
    for cell, lean, fast in pairs:
        sent = [one.median(records.SENT) for one in (lean, fast)]
        more = ratio(lean.values(records.SENT), fast.values(records.SENT))
        found += [more.middle] if more else []
        lines.append([where(cell), *(shown(one) if one else "–" for one in (*sent, more))])
    if not lines:
        return None
    answer = f"the lean user sends {span(found)} times as many as FastHttpUser" if found else "no window counts"
    table = Table(["server", "lean user, /s", "FastHttpUser, /s", "ratio (95 %)"], lines)
    text = "Each user keeps a generator busy, so its windows are gated as such: what counts is the work for that time."
    return Part("How many requests for a CPU second of the generator?", sentences(answer), tables=[table], text=text)


def scaling(run: Run, scenario: str) -> Part | None:
    """What two workers do more than one."""
    lines, found = [], []
    for cell, one in of(run, scenario, mode="ceiling", workers=1).items():
        if not (two := run.records.get(cell._replace(workers=2))):
            continue
        times = ratio(two.values(records.CEILING), one.values(records.CEILING))
        found += [times.middle] if times else []
        figures = [one.median(records.CEILING), two.median(records.CEILING), times]
        lines.append([where(cell), *(shown(figure) if figure else "–" for figure in figures)])
    if not lines:
        return None
    cores = len(run.machine.get("placement", {}).get("stack", [])) or "an unknown number of"
    said = (
        f"on {cores} core{'s' * (cores != 1)} two workers answer {span(found)} times as many requests as one"
        if found
        else ""
    )
    answer = sentences(said or "no window counts")
    return Part(
        "What does a second worker bring?",
        answer,
        tables=[Table(["server", "1 worker, /s", "2 workers, /s", "ratio (95 %)"], lines)],
    )


def clients(run: Run, scenario: str) -> Part | None:
    """What a connected client holds of the server's memory: what it grew by since warm-up, for each client.

    Memory is rarely given back, so only the user with the most clients tells it.
    """
    found: dict[Cell, tuple[int, list[float]]] = {}
    for cell, record in of(run, scenario, mode="ceiling").items():
        for window in record.counted(records.WARM):
            many = window.clients
            if not (many and "app" in window.memory_warm):
                continue
            most, grown = found.get(cell._replace(variant=""), (0, []))
            grown = grown if many == most else [] if many > most else grown
            if many >= most:
                grown.append((window.memory["app"] - window.memory_warm["app"]) / many / 1024)
                found[cell._replace(variant="")] = (many, grown)
    lines, middles = [], []
    for cell, (many, grown) in found.items():
        middle = statistics.median(grown)
        middles += [middle] if middle > 0 else []
        ends = f"{min(grown):.1f} to {max(grown):.1f}"
        lines.append([where(cell), str(many), f"{middle:.1f} ({ends})" if middle > 0 else f"none to be seen ({ends})"])
    if not lines:
        return None
    answer = sentences(f"{span(middles)} KiB" if middles else "too little to be seen")
    table = Table(["server", "clients", "memory for each, KiB (least to most)"], lines)
    return Part("How much memory does a client take?", answer, tables=[table])


def little(run: Run, scenario: str) -> Part | None:
    """How near each comes to what its clients, or its threads, allow at most."""
    lines, shares = [], []
    for cell, record in of(run, scenario, mode="ceiling").items():
        wait = int("".join(filter(str.isdigit, fact(cell, "path", cell.variant))) or 0) / 1000
        counted = record.counted(records.CEILING)
        if not (wait and counted):
            continue
        allowed = counted[0].clients / wait
        found = record.median(records.CEILING)
        shares += [(found.middle / allowed, cell)] if found else []
        threads = number(cell.threads * cell.workers / wait) if cell.interface == "wsgi" and cell.threads else "–"
        told = (
            [shown(found), number(allowed), f"{found.middle / allowed:.0%}"] if found else ["–", number(allowed), "–"]
        )
        lines.append([f"{1000 * wait:g} ms", where(cell), *told, threads])
    if not lines:
        return None
    best, last = (max(shares), min(shares)) if shares else (None, None)
    answer = (
        f"{where(best[1])} comes nearest, with {best[0]:.0%}; {where(last[1])} is farthest, with {last[0]:.0%}"
        if best and last
        else "no window counts"
    )
    columns = ["wait", "server", "requests/s", "clients ÷ wait", "of it", "threads ÷ wait"]
    text = "Little's law: no more requests a second than clients ÷ wait, and with threads no more than threads ÷ wait."
    question = "How near do they come to what waiting allows?"
    return Part(question, sentences(answer), tables=[Table(columns, lines)], text=text)


def bar(found: Interval | None, most: float) -> str:
    """Whether a ratio is within its bar: told only where the interval is on one side of it."""
    if not found:
        return "not measured"
    return "met" if found.high <= most else "missed" if found.low > most else "open: the interval holds the bar"


def stock(run: Run, scenario: str) -> Part | None:
    """What our configuration of a proxy costs, against the shortest that proxies."""
    lines, said = [], []
    for proxy, most in BARS.items():
        shares = []
        for cell, ours in of(run, scenario, route=proxy, mode="ceiling", http="1.1").items():
            if cell.server == NO_SERVER or not (other := run.records.get(cell._replace(route=f"{proxy}-stock"))):
                continue
            found = ratio(ours.values(records.PROXY), other.values(records.PROXY))
            both = [shown(one) if one else "–" for one in (ours.median(records.PROXY), other.median(records.PROXY))]
            told = shown(found) if found else "–"
            lines.append([proxy, records.label(cell), *both, told, f"{most:g}", bar(found, most)])
            shares += [found.middle] if found else []
        said += [f"{proxy} takes {span(shares)} times the CPU time of its stock configuration"] if shares else []
    if not lines:
        return None
    columns = ["proxy", "server", "ours, µs", "stock, µs", "ratio (95 %)", "at most", "bar"]
    question = "What does our proxy cost, against a stock configuration?"
    return Part(question, sentences(*said) or "No window counts.", tables=[Table(columns, lines)])


def beyond(run: Run, scenario: str) -> Part | None:
    """What application and NGINX cost together, over the server direct and a few of NGINX's own answers."""
    alone = own_answer(run, scenario)
    lines, found = [], []
    for cell, behind in of(run, scenario, route="nginx", mode="ceiling", http="1.1").items():
        direct = run.records.get(cell._replace(route="direct"))
        if cell.server == NO_SERVER or not (alone and direct):
            continue
        own, bare = alone.values(records.PROXY), direct.values(records.COST)
        allowed = {key: bare[key] + TIMES * own[key] for key in bare.keys() & own.keys()}
        times = ratio(behind.values(records.COST), allowed)
        found += [times.middle] if times else []
        least = number(statistics.median(allowed.values())) if allowed else "–"
        both = behind.median(records.COST)
        told = [shown(one) if one else "–" for one in (both, times)]
        lines.append([records.label(cell), told[0], least, told[1], bar(times, BEYOND)])
    if not lines:
        return None
    formula = f"direct + {TIMES} × NGINX's own answer"
    return Part(
        "What do app and NGINX cost together, over the least that they could?",
        sentences(f"{span(found)} times {formula}" if found else "no window counts"),
        tables=[Table(["server", "app + nginx, µs", f"{formula}, µs", "ratio (95 %)", f"at most {BEYOND:g}"], lines)],
    )


def own_answer(run: Run, scenario: str) -> Record | None:
    """NGINX's answer without a server: of this scenario, or of another in the run."""
    found = [
        (cell.scenario != scenario, record)
        for cell, record in run.records.items()
        if (cell.server, cell.route, cell.mode, cell.http) == (NO_SERVER, "nginx", "ceiling", "1.1")
        and cell.scenario in (scenario, "hello")
    ]
    return min(found, key=lambda one: one[0])[1] if found else None


Parts = Mapping[str, Sequence[Make]]
FIRST: Parts = {
    "burn": (scaling,),
    "generator": (generator,),
    "slow": (slow,),
    "stock": (stock, beyond),
    "wait": (little,),
}
AFTER: Parts = {"events": (clients,), "hello": (beyond,), "sockets": (clients,)}
ALONE = {"generator", "slow"}  # the grids of these would say nothing
MESSAGES = {"events", "sockets"}  # in which a "request" is a message


def parts(run: Run, scenario: str, table: Parts) -> list[Part]:
    """A scenario's own parts, in which something was measured."""
    found: Iterable[Part | None] = (make(run, scenario) for make in table.get(scenario, ()))
    return [part for part in found if part]
