"""A run as a page: `report.html`, self-contained and without script, and `report.md` with the same tables.

A section is a scenario, its heading the question that the scenario's file asks. Every plot has a question, too, and its
answer is computed from the data. `make report RUN=<run>` makes it anew.
"""

import os
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader

from loadtests.analysis import intervals, published, records
from loadtests.analysis.records import Run
from loadtests.report import findings, grid
from loadtests.report.grid import Grid, Part, Table, heading
from loadtests.report.plots import number
from loadtests.scenarios import scenarios
from loadtests.window import Cell
from stack import ROOT, Problem, settings
from tools import claims

HERE = Path(__file__).parent
FEW = 0.25  # of the windows: more that are gated are said first


class Section(NamedTuple):
    """A heading, what to know before reading on, and the parts."""

    heading: str
    text: str
    parts: list[Part]
    id: str = ""


def write(folder: Path) -> list[Path]:
    """Makes a run's `report.html` and `report.md` from its records; `Problem` where these cannot be read."""
    run = records.read(folder)
    content = sections(run)
    page = Environment(loader=FileSystemLoader(HERE), autoescape=True).get_template("report.html.jinja")
    html, markdown = folder / "report.html", folder / "report.md"
    html.write_text(
        page.render(title=title(run), notices=notices(run), facts=facts(run), glance=glance(content), sections=content)
    )
    markdown.write_text(as_markdown(run, content))
    return [html, markdown]


def as_markdown(run: Run, content: Sequence[Section]) -> str:
    """The report without its plots."""
    lines = [f"# {title(run)}", "", facts(run), ""]
    lines += [part for notice in notices(run) for part in (f"**{notice}**", "")]
    lines += [f"- {asked} **{answer}**" for _, asked, answer in glance(content)]
    lines += [""] if glance(content) else []
    for section in content:
        lines += [f"## {section.heading}", "", *([section.text, ""] if section.text else [])]
        for part in section.parts:
            lines += [f"### {part.heading}", ""] if part.heading else []
            lines += [f"#### {part.question}", "", f"**{part.answer}**", ""] if part.question else []
            lines += [part.text, ""] if part.text else []
            lines += [word for one in part.tables for word in (claims.table(*one), "")]
    return "\n".join(lines).rstrip() + "\n"


def title(run: Run) -> str:
    """The report's title."""
    return f"What a request costs: run {run.name}"


def facts(run: Run) -> str:
    """The machine and the size of the run, in a line."""
    machine = run.machine
    words = [
        f"{machine.get('cores', '?')} cores ({machine.get('cpu', 'unknown')})",
        str(machine.get("engine", "")),
        f"{machine.get('rounds', '?')} round{'s' * (machine.get('rounds') != 1)}",
        f"{run.windows} windows",
        f"`{machine.get('command', '')}`".strip("`"),
        str(machine.get("date", "")),
        f"commit {machine['commit']}" if machine.get("commit") else "",
    ]
    return " · ".join(filter(None, words))


def notices(run: Run) -> list[str]:
    """What a reader must know first: a run that is not whole, or has too few rounds."""
    found, planned = [], run.machine.get("windows", 0)
    if run.machine.get("interrupted"):
        found.append(f"Interrupted: {run.windows} of {planned} windows were measured; the rest is missing.")
    windows = [window for record in run.records.values() for window in record.windows]
    reasons = Counter(one.rule for window in windows for one in window.invalid)
    if (gated := sum(bool(window.invalid) for window in windows)) > len(windows) * FEW:
        why = ", ".join(f"{name} ({count})" for name, count in reasons.most_common(3))
        found.append(f"{gated} of {len(windows)} windows are gated: {why}. A quieter machine says more.")
    rounds = max((len(record.windows) for record in run.records.values()), default=0)
    if rounds < 5:
        found.append(f"At most {rounds} round{'s' * (rounds != 1)} a cell: the intervals are wide, and more rows tie.")
    return found


def percent(floor: float) -> str:
    """A ratio as the difference from 1."""
    return f"{100 * (floor - 1):.1f} %"


class Measure(NamedTuple):
    """A question that every scenario is asked, in which mode, and what is read off the windows."""

    question: str
    mode: str
    figure: records.Figure
    part: Callable[[Grid], Part]
    text: str = ""


MEASURES = (
    Measure(
        "How much CPU time does a request take?",
        "ceiling",
        records.COST,
        grid.cost,
        "The headline: CPU time of the application's container and the proxy's, as busy as they get. A small upright "
        "mark is the application's share.",
    ),
    Measure(
        "How many requests a second at most?",
        "ceiling",
        records.CEILING,
        grid.ceiling,
        "As fast as it goes on a fixed number of connections. A triangle, “≥”: the generator was the limit.",
    ),
    Measure(
        "How long do answers take at {rate} requests a second?",
        "rate",
        records.P99,
        grid.latency,
        "From the time at which a request was due, so that waiting to be sent counts.",
    ),
    Measure(
        "How much CPU time does a request take at {rate} requests a second?",
        "rate",
        records.COST,
        grid.cost_at_rate,
        "Where the stack mostly waits, waking up is most of the cost, and the figure is noisy.",
    ),
    Measure(
        "How much memory does the server hold?",
        "ceiling",
        records.PEAK,
        grid.memory,
        "As the engine counts it, without what the kernel can take back.",
    ),
)


def sections(run: Run) -> list[Section]:
    """All that the report says, in order."""
    found = []
    for place, scenario in enumerate(
        sorted({cell.scenario for cell in run.records}, key=lambda name: (name != "hello", name))
    ):
        known = scenarios().get(scenario)
        parts = findings.parts(run, scenario, findings.FIRST)
        if scenario not in findings.ALONE or not parts:
            parts += measured(run, scenario, explained=not place)
        parts += findings.parts(run, scenario, findings.AFTER)
        question = known.question if known else scenario
        found.append(Section(question, f"Scenario {scenario}.", parts, scenario))
    if part := published.part(run):
        found.append(Section("Against what others published", "", [part], "published"))
    return [*found, gates(run), noise(run), *parity(run), method(run)]


def measured(run: Run, scenario: str, explained: bool) -> list[Part]:
    """Every measure of each user of a scenario."""
    found = []
    for variant in {cell.variant: 0 for cell in run.records if cell.scenario == scenario}:
        parts = []
        modes = {one.mode for one in run.records if (one.scenario, one.variant) == (scenario, variant)}
        for measure in MEASURES:
            own = Grid(run, scenario, variant, measure.mode, measure.figure)
            if measure.figure is records.PEAK and not own.rows:
                own = Grid(run, scenario, variant, "rate", measure.figure)
            if own.mode not in modes or not own.rows or (own.bare and measure.figure is records.PEAK):
                continue
            part = measure.part(own)
            part.question = measure.question.format(rate=offered(own))
            if scenario in findings.MESSAGES:
                part.question = part.question.replace("request", "message")
            part.text = measure.text if explained else ""
            parts.append(part)
        known = scenarios().get(scenario)
        if variant and parts:
            doc = known.users[variant]["doc"] if known and variant in known.users else ""
            parts[0].heading = f"{variant}: {doc}" if doc else variant
        found += parts
    return found


def offered(own: Grid) -> str:
    """The rates that a grid's cells were asked at."""
    rates = sorted({window.offered for record in own.records.values() for window in record.windows if window.offered})
    return " to ".join(number(one) for one in dict.fromkeys([*rates[:1], *rates[-1:]])) or "?"


def glance(content: Sequence[Section]) -> list[tuple[str, str, str]]:
    """The first answer of each scenario, where there are several: its anchor, question and answer."""
    found = [(one.id, one.heading, one.parts[0].answer) for one in content if one.id and one.parts]
    return found if len(found) > 2 else []


def subject(cell: Cell) -> str:
    """What a cell asks."""
    return " ".join(filter(None, [cell.scenario, cell.variant]))


def gates(run: Run) -> Section:
    """What does not count, or was not measured, and why."""
    gated = [
        [record.label, heading(cell.route), subject(cell), cell.mode, f"{count} of {len(record.windows)}", why]
        for cell, record in run.records.items()
        for count, why in record.reasons()
    ]
    unmeasured = [
        [record.label, heading(cell.route), subject(cell), cell.mode or "both", record.unmeasured]
        for cell, record in run.records.items()
        if record.unmeasured
    ]
    windows = sum(len(record.gated) for record in run.records.values())
    text = (
        f"{windows} of {run.windows} windows were gated. They count for nothing, but for CPU time and memory where "
        "only the generator was the limit, or others used at most half of the cores: these figures have a *. "
        f"{len(unmeasured)} cells were not measured."
    )
    tables = [Table(["server", "where", "scenario", "mode", "gated windows", "why"], gated)] if gated else []
    if unmeasured:
        tables.append(Table(["server", "where", "scenario", "mode", "why it is not measured"], unmeasured))
    return Section("Gates, and what was not measured", text, [Part(tables=tables)])


def noise(run: Run) -> Section:
    """What the same cell measured twice under two names says of the machine."""
    lines = []
    for mode, figure in (*records.JUDGED, ("rate", records.P99)):
        found = records.pairs(run, figure, mode)
        floor = intervals.noise_floor([ratio for _, ratio in found])
        for cell, ratio in found:
            span = f"{ratio.low:.3f}–{ratio.high:.3f}"
            where = [subject(cell), mode, f"{records.label(cell._replace(pair=''))} {heading(cell.route)}", figure.name]
            lines.append([*where, f"{ratio.middle:.3f} ({span})", percent(floor)])
    if not lines:
        text = "No cell was measured twice under two names: ties are told by the intervals alone, which is too few."
        return Section("Noise floor", text, [])
    text = "The same cell, measured twice under two names (A/A), in every round. Differences inside the floor are ties."
    table = Table(["scenario", "mode", "cell", "figure", "ratio A/A (95 %)", "noise floor"], lines)
    return Section("Noise floor", text, [Part(tables=[table])])


def speed(run: Run) -> str:
    """How steady the machine was."""
    slowed = [one.slowness for record in run.records.values() for one in record.windows if one.probe_time]
    if len(slowed) < 2:
        return ""
    low, *_, high = statistics.quantiles(slowed, n=20)
    middle = statistics.median(slowed)
    return (
        f" In nine of ten windows the same piece of work took the stack's cores {number(low)} to {number(high)} times "
        f"(median {number(middle)}) as long as in the run's tenth percentile: CPU times "
        "are divided by that."
    )


def parity(run: Run) -> list[Section]:
    """The conditions, the same for all."""
    machine = run.machine
    rows = [[name, str(value)] for name, value in machine.get("parity", {}).items()]
    placement = machine.get("placement", {})
    rows += [[f"cores of the {part}", ", ".join(map(str, cores))] for part, cores in placement.items()]
    rows += [["memory", f"{machine['memory'] / 2**30:.1f} GiB"]] if machine.get("memory") else []
    rows += [[name, str(machine[name])] for name in ("cpu", "kernel", "engine") if machine.get(name)]
    rows += [[f"image {name}", str(value)[:19]] for name, value in machine.get("images", {}).items()]
    clients = sorted({window.clients for record in run.records.values() for window in record.windows if window.clients})
    rows += [["connections or users", ", ".join(map(str, clients))]] if clients else []
    versions = [[name, str(value)] for name, value in sorted(machine.get("versions", {}).items())]
    tables = [Table(["condition", ""], rows), Table(["part", "release"], versions)]
    text = "The same for every cell."
    return [Section("Parity", text, [Part(tables=[table for table in tables if table.lines])])]


def method(run: Run) -> Section:
    """How it was measured, in a few lines."""
    costs = [one.middle for record in run.records.values() if (one := record.median(records.GENERATOR))]
    generator = f" The generator itself: {number(statistics.median(costs))} µs a request." if costs else ""
    text = (
        "In each round every cell is measured once, in random order; at the fixed rate in some rounds only. CPU "
        "time is the engine's cumulative counters, read around the window. A cell is the median of its windows "
        "with an exact bootstrap 95 % interval (eight windows: without the least and the most; five: from the "
        "least to the most; fewer: Lord's, for normal logarithms). Two cells are compared by their ratio in each "
        "round, and tie if its interval touches 1 or the difference is inside the noise floor." + speed(run) + generator
    )
    return Section("Method", text, [])


def main(environ: Mapping[str, str] = os.environ) -> None:
    """`make report`: the report of a run, anew."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    if not environ.get("RUN"):
        raise Problem(f"RUN is not given: make report RUN=<run>; {records.known()}")
    for file in write(records.find(environ["RUN"])):
        print(f"report: {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}")
