"""The questions that every scenario is asked, and how each is answered: a sentence, a plot and a table."""

import statistics
from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup

from loadtests.analysis import measures
from loadtests.analysis.measures import Measure
from loadtests.analysis.records import Run
from loadtests.analysis.wording import format_number
from loadtests.report import plots
from loadtests.report.axis import Axis
from loadtests.report.cells import OWN_ANSWER, Grid, describe_absence
from loadtests.report.model import Part, Table, join_sentences
from loadtests.scenarios import scenarios
from loadtests.window import DIRECT

MESSAGE_SCENARIOS = {"events", "sockets"}  # in which a "request" is a message
ADDED_COLUMNS = (
    "proxy",
    "added per request, µs (median of the servers)",
    "least, µs",
    "most, µs",
    "own answer, µs",
    "Docker engine (logging), µs",
)


class Question(NamedTuple):
    """A question: its text, the mode and the measure that answer it, and the function that writes the answer.

    `note` says how to read the answer.
    """

    text: str
    mode: str
    measure: Measure
    answer: Callable[[Grid], Part]
    note: str


def answer_questions(run: Run, scenario: str, with_notes: bool) -> list[Part]:
    """Every question, answered for each user of a scenario."""
    description = scenarios().get(scenario)
    parts = []
    for variant in dict.fromkeys(cell.variant for cell in run.cells if cell.scenario == scenario):
        answers = [
            part for question in QUESTIONS if (part := answer_question(run, scenario, variant, question, with_notes))
        ]
        if variant and answers:
            doc = description.users[variant]["doc"] if description and variant in description.users else ""
            answers[0].heading = f"{variant}: {doc}" if doc else variant
        parts += answers
    return parts


def answer_question(run: Run, scenario: str, variant: str, question: Question, with_note: bool) -> Part | None:
    """A question, answered for one user of a scenario; None where nothing was measured for it."""
    modes = {cell.mode for cell in run.cells if (cell.scenario, cell.variant) == (scenario, variant)}
    is_memory = question.measure is measures.PEAK_MEMORY
    grid = Grid(run, scenario, variant, question.mode, question.measure)
    if is_memory and not grid.rows:
        grid = Grid(run, scenario, variant, "rate", question.measure)
    if grid.mode not in modes or not grid.rows or (is_memory and not grid.has_servers):
        return None
    part = question.answer(grid)
    part.question = question.text.format(rate=describe_rates(grid))
    if scenario in MESSAGE_SCENARIOS:
        part.question = part.question.replace("request", "message")
    part.text = question.note if with_note else ""
    return part


def describe_rates(grid: Grid) -> str:
    """The rates that a grid's cells were offered, in requests/s."""
    windows = (window for measured in grid.cells.values() for window in measured.windows)
    rates = sorted({window.offered for window in windows if window.offered})
    return " to ".join(format_number(rate) for rate in dict.fromkeys([*rates[:1], *rates[-1:]])) or "?"


def answer_cost(grid: Grid) -> Part:
    """What a request costs."""
    added = list_added(grid)
    ends = [grid.describe_ends(route) for route in (grid.routes[:1] if grid.routes[0] == DIRECT else grid.routes)]
    adds = ", ".join(f"{proxy} adds {median} µs" for proxy, median, *_ in added)
    adds = f"in the median of the servers, {adds}" if adds else ""
    tables = [make_cost_table(grid)] + ([Table(list(ADDED_COLUMNS), added)] if added else [])
    return Part("", join_sentences(*ends, adds), draw_panels(grid, grid.routes), tables)


def list_added(grid: Grid) -> list[list[str]]:
    """What each proxy adds to a request, over the servers: the columns of ADDED_COLUMNS."""
    rows = []
    for proxy in grid.proxies if grid.has_servers else []:
        if not (costs := grid.list_medians(proxy, measures.PROXY)):
            continue
        baseline = grid.find_baseline(proxy)
        own_answer = baseline.find_median(measures.COST) if baseline else None
        logging = grid.list_medians(proxy, measures.ENGINE)
        row = [proxy, *map(format_number, (statistics.median(costs), min(costs), max(costs)))]
        row.append(format_number(own_answer.middle) if own_answer else "–")
        row.append(format_number(statistics.median(logging)) if logging else "–")
        rows.append(row)
    return rows


def make_cost_table(grid: Grid) -> Table:
    """A row for each server: its cost on each route, the shares of application and proxy, and the engine's cost."""
    columns = ["server"]
    for route in grid.routes:
        columns.append(f"{grid.name_column(route)}, µs")
        columns += [f"app + {route}, µs", "Docker engine (logging), µs"] if route != DIRECT else []
    letters = {route: grid.assign_letters(route) for route in grid.routes}
    lines = []
    for row in grid.rows:
        line = [grid.name_row(row)]
        for route in grid.routes:
            line.append(grid.describe(row, route, letters[route].get(row, "")))
            if route != DIRECT:
                shares = [grid.find_median(row, route, measure) for measure in (measures.APP, measures.PROXY)]
                logging = grid.find_median(row, route, measures.ENGINE)
                line.append(" + ".join(format_number(share.middle) for share in shares if share) or "–")
                line.append(format_number(logging.middle) if logging else "–")
        lines.append(line)
    if baselines := grid.describe_baselines():
        line = [OWN_ANSWER]
        for route, baseline in zip(grid.routes, baselines, strict=True):
            line += [baseline] + (["–", "–"] if route != DIRECT else [])
        lines.append(line)
    return Table(columns, lines)


def answer_cost_at_rate(grid: Grid) -> Part:
    """What a request costs where the stack mostly waits. The figures are noisy, so there is no plot."""
    part = answer_cost(grid)
    part.panels, part.folded = [], True
    return part


def answer_throughput(grid: Grid) -> Part:
    """How many requests per second each server answers at most."""
    answer = join_sentences(*(grid.describe_ends(route) for route in grid.routes))
    return Part("", answer, draw_panels(grid, grid.routes), [grid.make_table()])


def answer_latency(grid: Grid) -> Part:
    """How long an answer takes at the fixed rate: median, percentiles, and whether the rate was delivered."""
    columns, lines = ["server"], []
    for route in grid.routes:
        columns += [
            f"{grid.name_column(route)}: p50, ms",
            "p99, ms",
            "p95 and p99.9 of all rounds",
            "delivered / offered",
        ]
    letters = {route: grid.assign_letters(route) for route in grid.routes}
    for row in grid.rows:
        line = [grid.name_row(row)]
        for route in grid.routes:
            line.append(grid.describe(row, route, measure=measures.P50))
            line.append(grid.describe(row, route, letters[route].get(row, "")))
            percentiles = grid.find_cell(row, route).find_percentiles(0.95, 0.999)
            line.append(" · ".join(format_number(percentile) for percentile in percentiles) or "–")
            delivered = grid.find_median(row, route, measures.DELIVERED)
            line.append(f"{delivered.middle:.3f}" if delivered else "–")
        lines.append(line)
    answer = join_sentences(
        f"of 100 answers 99 take at most, {grid.describe_ends(grid.routes[0])}", describe_delivered(grid)
    )
    return Part("", answer, draw_panels(grid, grid.routes), [Table(columns, lines)])


def describe_delivered(grid: Grid) -> str:
    """The smallest share of the offered rate that a cell delivered; "" where no window counts."""
    shares = [
        (median.middle, grid.name_row(row), route)
        for row in grid.rows
        for route in grid.routes
        if (median := grid.find_median(row, route, measures.DELIVERED))
    ]
    if not shares:
        return ""
    least, name, route = min(shares)
    return f"every valid cell delivered at least {100 * least:.1f} % of the rate ({name} {grid.name_column(route)})"


def answer_memory(grid: Grid) -> Part:
    """What a server's container holds: after warm-up, at most, and for each worker."""
    route = grid.routes[0]
    has_workers = any(row.workers > 1 for row in grid.rows)
    letters, lines = grid.assign_letters(route), []
    for row in grid.rows:
        line = [grid.name_row(row), grid.describe(row, route, measure=measures.WARM_MEMORY)]
        line.append(grid.describe(row, route, letters.get(row, "")))
        if has_workers:
            peak = grid.find_median(row, route)
            line.append(format_number(peak.middle / row.workers) if peak else "–")
        lines.append(line)
    columns = ["server", "after warm-up, MiB", "at most, MiB", *["at most, for each worker"] * has_workers]
    of_proxies = [
        f"{proxy} holds {format_number(statistics.median(peaks))} MiB"
        for proxy in grid.proxies
        if (peaks := grid.list_medians(proxy, measures.PROXY_PEAK_MEMORY))
    ]
    workers = "" if has_workers else "every server has one worker"
    answer = join_sentences(grid.describe_ends(route), ", ".join(of_proxies), workers)
    return Part("", answer, draw_panels(grid, [route]), [Table(columns, lines)])


def draw_panels(grid: Grid, routes: list[str]) -> list[Markup]:
    """The plot of a grid: a panel for each route, on one axis."""
    panels = [draw_panel(grid, route) for route in routes]
    figures, values = [], []
    for route in routes:
        baseline = grid.find_baseline(route)
        for measured in [grid.find_cell(row, route) for row in grid.rows] + ([baseline] if baseline else []):
            figures += [median] if (median := measured.find_median(grid.measure)) else []
            values += [bound] if (bound := measured.find_lower_bound(grid.measure)) else []
    values += [row.share for panel in panels for row in panel.rows if row.share]
    drawn = plots.draw_panels(panels, Axis.cover(figures, values), grid.measure.unit)
    return [Markup(panel) for panel in drawn]  # noqa: S704 - its texts are escaped


def draw_panel(grid: Grid, route: str) -> plots.Panel:
    """The panel of a route, with the proxy's own answer as the baseline."""
    baseline = grid.find_baseline(route)
    median = baseline.find_median(grid.measure) if baseline else None
    value = median.middle if median else baseline.find_lower_bound(grid.measure) if baseline else None
    text = f"own answer {'' if median else '≥ '}{format_number(value)}" if value else ""
    letters, rows = grid.assign_letters(route), []
    for row in grid.rows:
        measured = grid.find_cell(row, route)
        has_share = grid.measure is measures.COST and route != DIRECT
        share = measured.find_median(measures.APP) if has_share else None
        rows.append(
            plots.Row(
                label=grid.name_row(row),
                kind=row.interface,
                figure=measured.find_median(grid.measure),
                share=share.middle if share else None,
                lower_bound=measured.find_lower_bound(grid.measure),
                reason=describe_absence(measured),
                letters=letters.get(row, ""),
                starred=bool(measured.invalid_windows),
            )
        )
    return plots.Panel(grid.name_column(route), rows, value, text)


QUESTIONS = (
    Question(
        "How much CPU time does a request take?",
        "ceiling",
        measures.COST,
        answer_cost,
        "This is the headline: CPU time of the application's container and of the proxy's, at full load. A small "
        "upright mark is the application's share.",
    ),
    Question(
        "How many requests a second at most?",
        "ceiling",
        measures.THROUGHPUT,
        answer_throughput,
        "A fixed number of connections sends as fast as it can. A triangle with “≥”: the generator was the limit.",
    ),
    Question(
        "How long do answers take at {rate} requests a second?",
        "rate",
        measures.P99,
        answer_latency,
        "The time counts from when a request was due, so waiting to be sent counts.",
    ),
    Question(
        "How much CPU time does a request take at {rate} requests a second?",
        "rate",
        measures.COST,
        answer_cost_at_rate,
        "At this rate the stack mostly waits. Waking up is most of the cost, and the figure is noisy.",
    ),
    Question(
        "How much memory does the server hold?",
        "ceiling",
        measures.PEAK_MEMORY,
        answer_memory,
        "The engine counts it, without what the kernel can take back.",
    ),
)
