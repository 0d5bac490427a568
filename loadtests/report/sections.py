"""The sections of a report: one for each scenario, then what others published, then validity, noise and conditions."""

import statistics
from collections.abc import Sequence

from loadtests.analysis import intervals, measures
from loadtests.analysis.measures import JUDGED
from loadtests.analysis.published import Check, check_published
from loadtests.analysis.records import Run, compare_pairs
from loadtests.analysis.wording import (
    format_difference,
    format_interval,
    format_number,
    name_cell,
    name_cell_and_route,
    name_question,
    name_route,
)
from loadtests.report import findings
from loadtests.report.model import Part, Section, Table, join_sentences
from loadtests.report.questions import answer_questions
from loadtests.scenarios import scenarios


def make_sections(run: Run) -> list[Section]:
    """All sections, in order."""
    names = sorted({cell.scenario for cell in run.cells}, key=lambda name: (name != "hello", name))
    sections = [make_scenario_section(run, name, with_notes=name == names[0]) for name in names]
    if checks := check_published(run):
        sections.append(Section("Against what others published", "", [make_published_part(run, checks)], "published"))
    noise_floor = make_noise_floor_section(run)
    return [*sections, make_validity_section(run), noise_floor, make_conditions_section(run), make_method_section(run)]


def make_scenario_section(run: Run, name: str, with_notes: bool) -> Section:
    """A scenario's findings, and its answers to the questions of every scenario."""
    parts = findings.find_parts(run, name, findings.BEFORE_QUESTIONS)
    if name not in findings.WITHOUT_QUESTIONS or not parts:
        parts += answer_questions(run, name, with_notes)
    parts += findings.find_parts(run, name, findings.AFTER_QUESTIONS)
    scenario = scenarios().get(name)
    return Section(scenario.question if scenario else name, f"Scenario {name}.", parts, name)


def list_glance(sections: Sequence[Section]) -> list[tuple[str, str, str]]:
    """The first answer of each scenario, where there are several: its anchor, question and answer."""
    answers = [
        (section.id, section.heading, section.parts[0].answer) for section in sections if section.id and section.parts
    ]
    return answers if len(answers) > 2 else []


def make_published_part(run: Run, checks: Sequence[Check]) -> Part:
    """What others published, beside the run."""
    lines = []
    for check in checks:
        published = check.published
        name = f"{' '.join(published.first)} ÷ {' '.join(published.second)}"
        ratio = f"{'at least ' if published.is_minimum else ''}{published.ratio:.2f}"
        ours = format_interval(check.ratio) if check.ratio else f"≥ {format_number(check.lower_bound or 0)}"
        lines.append([name, ratio, ours, check.verdict, published.source, published.conditions])
    contradicted = sum(check.verdict == "contradicts" for check in checks)
    connections = sorted({window.clients for window in run.windows if window.cell.mode == "ceiling"} - {0})
    return Part(
        "Do published ratios of requests per second hold here?",
        join_sentences(f"{contradicted} of {len(checks)} are contradicted under our conditions"),
        tables=[Table(["ratio", "published", "here (95 %)", "this run", "source", "its conditions"], lines)],
        text="A published ratio agrees where our interval holds it, widened by the noise floor. "
        f"Here: 14 bytes, one worker, {', '.join(map(str, connections)) or '?'} kept connections, direct, "
        f"cores of the stack: {run.stack_cores or '?'}.",
    )


def make_validity_section(run: Run) -> Section:
    """Which windows do not count, which cells were not measured, and why."""
    invalid, unmeasured = [], []
    for cell, measured in run.cells.items():
        name = [name_cell(cell), name_route(cell.route), name_question(cell)]
        for count, reason in measured.describe_invalidities():
            invalid.append([*name, cell.mode, f"{count} of {len(measured.windows)}", reason])
        if measured.unmeasured:
            unmeasured.append([*name, cell.mode or "both", measured.unmeasured])
    text = (
        f"{sum(bool(window.invalid) for window in run.windows)} of {len(run.windows)} windows are invalid. Their "
        "figures do not count, with an exception, marked *. CPU time and memory count where only the generator was the "
        f"limit, or others used at most half of the cores. {len(unmeasured)} cells were not measured."
    )
    tables = []
    if invalid:
        tables.append(Table(["server", "route", "scenario", "mode", "invalid windows", "reason"], invalid))
    if unmeasured:
        tables.append(Table(["server", "route", "scenario", "mode", "why it is not measured"], unmeasured))
    return Section("Invalid windows, and what was not measured", text, [Part(tables=tables)])


def make_noise_floor_section(run: Run) -> Section:
    """What the A/A pairs say of the machine."""
    lines = []
    for mode, measure in (*JUDGED, ("rate", measures.P99)):
        pairs = compare_pairs(run, measure, mode)
        floor = format_difference(intervals.find_noise_floor([ratio for _, ratio in pairs]))
        for cell, ratio in pairs:
            name = name_cell_and_route(cell._replace(pair=""))
            figures = f"{ratio.middle:.3f} ({ratio.low:.3f}–{ratio.high:.3f})"
            lines.append([name_question(cell), mode, name, measure.name, figures, floor])
    if not lines:
        text = "There is no A/A pair. Only the intervals decide what ties, which is too little."
        return Section("Noise floor", text, [])
    text = "An A/A pair is the same cell, measured twice in every round. Differences inside the noise floor are ties."
    table = Table(["scenario", "mode", "cell", "figure", "ratio A/A (95 %)", "noise floor"], lines)
    return Section("Noise floor", text, [Part(tables=[table])])


def make_conditions_section(run: Run) -> Section:
    """The conditions that all cells share."""
    machine = run.machine
    rows = [[name, str(value)] for name, value in machine.get("parity", {}).items()]
    for part, cores in machine.get("placement", {}).items():
        rows.append([f"cores of the {part}", ", ".join(map(str, cores))])
    rows += [["memory", f"{machine['memory'] / 2**30:.1f} GiB"]] if machine.get("memory") else []
    rows += [[name, str(machine[name])] for name in ("cpu", "kernel", "engine") if machine.get(name)]
    rows += [[f"image {name}", str(value)[:19]] for name, value in machine.get("images", {}).items()]
    clients = sorted({window.clients for window in run.windows} - {0})
    rows += [["connections or users", ", ".join(map(str, clients))]] if clients else []
    releases = [[name, str(value)] for name, value in sorted(machine.get("versions", {}).items())]
    tables = [Table(["condition", ""], rows), Table(["part", "release"], releases)]
    return Section("Parity", "The same for every cell.", [Part(tables=[table for table in tables if table.lines])])


def make_method_section(run: Run) -> Section:
    """How the run was measured, in a few lines."""
    text = (
        "In each round every cell is measured once, in random order. At the fixed rate this holds for some rounds "
        "only. CPU time comes from the engine's cumulative counters, which are read before and after the window. A "
        "cell's figure is the median of its windows, with an exact bootstrap 95 % interval. The interval of eight "
        "windows runs from the second-smallest to the second-largest, the interval of five from the smallest to the "
        "largest. The interval of fewer windows is Lord's, for normal logarithms. Two cells are compared by their "
        "ratio in each round. They tie if its interval touches 1, or if the difference is inside the noise floor."
    )
    return Section("Method", " ".join(filter(None, [text, describe_speed(run), describe_generator(run)])), [])


def describe_speed(run: Run) -> str:
    """How steady the machine was, by the machine-speed probe."""
    slowness = [window.slowness for window in run.windows if window.probe_time]
    if len(slowness) < 2:
        return ""
    low, *_, high = map(format_number, statistics.quantiles(slowness, n=20))
    return (
        f"The machine-speed probe took {low} to {high} times as long as in the run's tenth percentile, in nine of ten "
        f"windows (median {format_number(statistics.median(slowness))}). CPU times are divided by that ratio."
    )


def describe_generator(run: Run) -> str:
    """What the generator itself cost."""
    costs = [median.middle for cell in run.cells.values() if (median := cell.find_median(measures.GENERATOR))]
    return f"The generator itself took {format_number(statistics.median(costs))} µs a request." if costs else ""
