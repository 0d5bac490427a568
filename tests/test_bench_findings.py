"""The report's findings, and what others published beside a run, from known records. No container runs here."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from loadtests.analysis import measures, published
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import Run
from loadtests.report import findings
from loadtests.report.model import Part
from loadtests.report.sections import make_published_part, make_sections
from tests.support import fabricated_runs
from tests.support.fabricated_runs import SATURATED, make_record, make_run, write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    placement = {"stack": [0], "generator": [1]}
    return make_run(
        tmp_path_factory.mktemp("findings") / "run", fabricated_runs.make_findings_run(), placement=placement
    )


def find_parts(run: Run, scenario: str) -> list[Part]:
    """A scenario's findings."""
    tables = (findings.BEFORE_QUESTIONS, findings.AFTER_QUESTIONS)
    return [part for table in tables for part in findings.find_parts(run, scenario, table)]


def find_part(run: Run, scenario: str) -> Part:
    """A scenario's first finding."""
    return find_parts(run, scenario)[0]


def find_line(part: Part, name: str) -> list[str]:
    """The line of a table that begins with a name."""
    return next(line for line in part.tables[0].lines if line[0] == name)


def test_slow_clients_are_borne_as_long_as_others_wait_at_most_twice_as_long(run: Run) -> None:
    part = find_part(run, "slow")
    figures = ["2.00 (2.00–2.00)", "2.32 (2.32–2.32)", "3.28 (3.28–3.28)", "7.12 (7.12–7.12) (!)"]
    assert find_line(part, "uvicorn asgi direct")[1:] == [*figures, "64"]
    assert find_line(part, "gunicorn wsgi direct")[2:] == ["invalid: rate (!)"] * 3 + ["0"]
    assert find_line(part, "gunicorn wsgi behind nginx")[-1] == "256 or more"
    assert part.answer == (
        "Up to 0 slow clients: gunicorn wsgi direct; up to 64 slow clients: uvicorn asgi direct; "
        "up to 256 or more slow clients: granian asgi direct, granian asgi behind nginx, "
        "gunicorn wsgi behind nginx, uvicorn asgi behind nginx."
    )


def test_what_the_machine_hides_is_no_suffering(tmp_path: Path) -> None:
    busy = {"rule": "machine", "reason": "others used 31% of the stack's cores"}
    lines = [
        make_record("granian", "asgi", "direct", "rate", number, scenario="slow", variant=f"Slow{clients}")
        | {"invalid": [busy] * (clients > 16)}
        for number, clients in itertools.product(range(5), (0, 16, 64))
    ]
    part = find_part(make_run(tmp_path / "run", lines), "slow")
    assert part.answer == "Up to 16 or more slow clients: granian asgi direct."
    assert find_line(part, "granian asgi direct")[3:] == ["invalid: machine ?", "16 or more"]


def test_the_generators_are_compared_by_what_they_send_in_a_cpu_second_though_they_saturate(run: Run) -> None:
    part = find_part(run, "generator")
    assert re.match(r"The lean user sends 2\.[45]\d? times as many as FastHttpUser", part.answer)
    sections = [section.parts for section in make_sections(run) if section.id == "generator"]
    assert sections == [[part]]  # and no question of every scenario


def test_a_second_worker_brings_what_the_cores_allow(run: Run) -> None:
    answer = find_part(run, "burn").answer
    assert re.match(r"On 1 core two workers answer (1\.9\d|2\.0\d|2)( to (2|2\.0\d))? times", answer)


@pytest.mark.parametrize("scenario", ["events", "sockets"])
def test_a_client_takes_what_memory_grew_by(run: Run, scenario: str) -> None:
    assert find_part(run, scenario).answer == "128 KiB."
    questions = [part.question for section in make_sections(run) if section.id == scenario for part in section.parts]
    assert "How many messages a second at most?" in questions and "How many requests a second at most?" not in questions


def test_waiting_is_measured_against_littles_law(run: Run) -> None:
    lines = {(line[0], line[1]): line for line in find_part(run, "wait").tables[0].lines}
    assert lines["10 ms", "granian asgi direct"][3] == "1\u202f600"
    assert lines["10 ms", "gunicorn wsgi direct"][5] == "800"
    assert lines["100 ms", "granian asgi direct"][3] == "640" and lines["10 ms", "uvicorn asgi direct"][4] == "50%"


def test_a_proxy_is_measured_against_its_stock_configuration_and_the_least_it_could_cost(run: Run) -> None:
    stock, least = find_parts(run, "stock")
    nginx = find_line(stock, "nginx")
    assert nginx[4].startswith("0.26") or nginx[4].startswith("0.27")
    assert nginx[-1] == "met" and find_line(stock, "caddy")[-1] == "missed"  # 180 µs against 165
    # 44 µs + granian's own over its own + 3 × 10 µs
    cost = fabricated_runs.COSTS["granian", "asgi"]
    ratio = float(find_line(least, "granian asgi")[3].split()[0])
    assert ratio == pytest.approx((cost + 44) / (cost + 30), rel=0.03)


def test_a_limit_is_met_or_missed_only_where_the_interval_says_so() -> None:
    assert findings.judge_limit(Interval(0.2, 0.25, 0.29, 5), 0.3) == "met"
    assert findings.judge_limit(Interval(0.31, 0.35, 0.4, 5), 0.3) == "missed"
    assert findings.judge_limit(Interval(0.2, 0.25, 0.31, 5), 0.3).startswith("open")
    assert findings.judge_limit(None, 0.3) == "not measured"


def test_several_users_of_a_scenario_are_sub_headings_and_every_question_has_an_answer(run: Run) -> None:
    html, markdown = write_report(run)
    assert re.search(r"^### Wait10: 10 ms: at most", markdown, re.MULTILINE)
    assert re.search(r'<li><a href="#slow">.*</a> Up to 0 slow clients: gunicorn wsgi direct', html)  # at a glance
    for section in make_sections(run):
        assert all(part.answer for part in section.parts if part.question), section.heading


def test_a_run_has_no_finding_without_its_cells(tmp_path: Path) -> None:
    names = [*findings.BEFORE_QUESTIONS, *findings.AFTER_QUESTIONS]
    lines = [make_record("granian", "asgi", "direct", "rate", 0, scenario=name, memory_warm={}) for name in names]
    run = make_run(tmp_path / "run", lines)
    assert [find_parts(run, name) for name in names] == [[] for _ in names]
    assert write_report(run)


# What others published


def make_ceilings(tmp_path: Path, rates: dict[tuple[str, str], float], **fields: Any) -> Run:
    """A run of hello, direct, with these requests a second, and 1 % between its rounds."""
    lines = [
        make_record(*pair, "direct", "ceiling", number, requests=round(1.5 * rate * (1 + number / 400)), **fields)
        for (pair, rate), number in itertools.product(rates.items(), range(5))
    ]
    return make_run(tmp_path / "run", lines)


def make_part(run: Run) -> Part:
    """What others published, beside a run."""
    checks = published.check_published(run)
    assert checks
    return make_published_part(run, checks)


def test_a_published_ratio_is_contradicted_where_the_interval_leaves_it_out(tmp_path: Path) -> None:
    rates = {("gunicorn", "asgi"): 7600.0, ("uvicorn", "asgi"): 26000.0, ("granian", "asgi"): 79300.0}
    part = make_part(make_ceilings(tmp_path, rates))
    verdicts = {(line[0], line[1]): line[3] for line in part.tables[0].lines}
    assert verdicts["gunicorn asgi ÷ uvicorn asgi", "at least 0.95"] == "contradicts"
    assert verdicts["granian asgi ÷ uvicorn asgi", "3.05"] == "agrees"
    assert verdicts["granian asgi ÷ uvicorn asgi", "1.17"] == "contradicts"
    assert not any(line[0].startswith("granian wsgi") for line in part.tables[0].lines)
    assert part.answer == "2 of 3 are contradicted under our conditions." and "16 kept connections" in part.text


def test_reaching_more_than_was_promised_is_no_contradiction(tmp_path: Path) -> None:
    part = make_part(make_ceilings(tmp_path, {("gunicorn", "asgi"): 30000.0, ("uvicorn", "asgi"): 26000.0}))
    assert [line[3] for line in part.tables[0].lines] == ["agrees"]


def test_a_saturated_generator_leaves_a_published_ratio_open_or_contradicts_it(tmp_path: Path) -> None:
    lines = [
        make_record("granian", "asgi", "direct", "ceiling", number, requests=60000, invalid=[SATURATED])
        for number in range(5)
    ]
    lines += [make_record("uvicorn", "asgi", "direct", "ceiling", number, requests=30000) for number in range(5)]
    part = make_part(make_run(tmp_path / "run", lines))
    assert {line[1]: line[2:4] for line in part.tables[0].lines} == {
        "3.05": ["≥ 2.00", "open"],
        "1.17": ["≥ 2.00", "contradicts"],
    }


def test_the_default_run_is_put_beside_what_others_published(tmp_path: Path) -> None:
    _, markdown = write_report(make_run(tmp_path / "run", fabricated_runs.make_default_run(1, 0.02)))
    assert "## Against what others published" in markdown and "Granian's benchmarks/vs.md" in markdown
    assert measures.JUDGED[0] == ("ceiling", measures.COST)
