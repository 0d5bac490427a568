"""`make report RUN=<run>`: a run as `report.html`, self-contained and without script, and as `report.md`.

A section is a scenario, and its heading is the question that the scenario's file asks. Every plot has a question too,
and the answer is computed from the data.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from loadtests.analysis import records
from loadtests.analysis.records import Run
from loadtests.analysis.validity import ValidityRule
from loadtests.report.model import Section
from loadtests.report.sections import list_glance, make_sections
from loadtests.window import Window
from stack import ROOT, Problem, settings
from tools.markdown import table as make_table

HERE = Path(__file__).parent
INVALID_SHARE = 0.25  # of the windows: a notice says when more are invalid
ENOUGH_ROUNDS = 5
# A quieter machine mends none of these.
FAULTS = (ValidityRule.ERRORS, ValidityRule.RESTART, ValidityRule.START, ValidityRule.GENERATOR_FAILED)


def write(folder: Path) -> list[Path]:
    """Writes a run's `report.html` and `report.md` from its records; `Problem` where these cannot be read."""
    run = records.read(folder)
    sections = make_sections(run)
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True).get_template("report.html.jinja")
    html, markdown = folder / "report.html", folder / "report.md"
    html.write_text(
        template.render(
            title=make_title(run),
            notices=notices(run),
            facts=describe_conditions(run),
            glance=list_glance(sections),
            sections=sections,
        )
    )
    markdown.write_text(write_markdown(run, sections))
    return [html, markdown]


def write_markdown(run: Run, sections: Sequence[Section]) -> str:
    """The report without its plots."""
    lines = [f"# {make_title(run)}", "", describe_conditions(run), ""]
    lines += [line for notice in notices(run) for line in (f"**{notice}**", "")]
    glance = list_glance(sections)
    lines += [f"- {question} **{answer}**" for _, question, answer in glance]
    lines += [""] if glance else []
    for section in sections:
        lines += [f"## {section.heading}", "", *([section.text, ""] if section.text else [])]
        for part in section.parts:
            lines += [f"### {part.heading}", ""] if part.heading else []
            lines += [f"#### {part.question}", "", f"**{part.answer}**", ""] if part.question else []
            lines += [part.text, ""] if part.text else []
            lines += [line for table in part.tables for line in (make_table(*table), "")]
    return "\n".join(lines).rstrip() + "\n"


def make_title(run: Run) -> str:
    """The report's title."""
    return f"What a request costs: run {run.name}"


def describe_conditions(run: Run) -> str:
    """The machine and the size of the run, in a line."""
    machine = run.machine
    words = [
        f"{machine.get('cores', '?')} cores ({machine.get('cpu', 'unknown')})",
        str(machine.get("engine", "")),
        f"{machine.get('rounds', '?')} round{'s' * (machine.get('rounds') != 1)}",
        f"{len(run.windows)} windows",
        str(machine.get("command", "")),
        str(machine.get("date", "")),
        f"commit {machine['commit']}" if machine.get("commit") else "",
    ]
    return " · ".join(filter(None, words))


def notices(run: Run) -> list[str]:
    """What a reader must know first: a run that is not whole, has many invalid windows, or has few rounds."""
    texts, windows = [], run.windows
    if run.machine.get("interrupted"):
        planned = run.machine.get("windows", 0)
        texts.append(f"Interrupted: {len(windows)} of {planned} windows were measured; the rest is missing.")
    invalid = sum(bool(window.invalid) for window in windows)
    if invalid > len(windows) * INVALID_SHARE:
        counts = Counter(invalidity.rule for window in windows for invalidity in window.invalid)
        rules = ", ".join(f"{rule} ({count})" for rule, count in counts.most_common(3))
        texts.append(f"{invalid} of {len(windows)} windows are invalid: {rules}. {advise(windows)}")
    rounds = max((len(measured.windows) for measured in run.cells.values()), default=0)
    if rounds < ENOUGH_ROUNDS:
        texts.append(f"At most {rounds} round{'s' * (rounds != 1)} a cell: the intervals are wide, and more rows tie.")
    return texts


def advise(windows: Sequence[Window]) -> str:
    """What helps: the first fault of the stack, of the generator or of a scenario, or else a quieter machine."""
    invalidities = [invalidity for window in windows for invalidity in window.invalid]
    fault = next((invalidity for invalidity in invalidities if invalidity.rule in FAULTS), None)
    return f"The first fault: {fault.reason}" if fault else "A quieter machine gives more figures."


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Writes the report of the run that RUN names."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    if not environ.get("RUN"):
        raise Problem(f"RUN is not given: make report RUN=<run>; {records.describe_runs()}")
    for file in write(records.find(environ["RUN"])):
        print(f"report: {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}")
