"""The bench's report: what a page says of known records. No container runs here."""

import itertools
import random
import re
from pathlib import Path

import pytest

from loadtests.analysis import records, wording
from loadtests.report import page
from loadtests.report.axis import CHARACTER, PLOT, Axis
from loadtests.report.questions import QUESTIONS
from loadtests.window import Cell
from stack import ROOT, Problem
from tests.support.fabricated_runs import (
    SATURATED,
    make_default_run,
    make_findings_run,
    make_record,
    make_run,
    write_report,
)


def test_an_invalid_window_does_not_count_and_is_told(tmp_path: Path) -> None:
    lines = [make_record("granian", "asgi", "direct", "rate", number) for number in range(5)]
    lines[2] |= {"requests": 1, "invalid": [{"rule": "errors", "reason": "449 of 450: status 502"}]}
    html, markdown = write_report(make_run(tmp_path / "run", lines))
    for text in (html, markdown):
        assert "[4 of 5 windows]" in text and "errors: 449 of 450: status 502" in text and "1 of 5" in text
    assert "0.4 (0.4–0.4) [4 of 5 windows]" in markdown and "1.10*" in html


def test_a_saturated_generator_gives_a_lower_bound(tmp_path: Path) -> None:
    lines = [
        make_record("granian", "asgi", "direct", "ceiling", number, requests=40000 + number, invalid=[SATURATED])
        for number in range(5)
    ]
    lines += [make_record("daphne", "asgi", "direct", "ceiling", number, requests=4500) for number in range(5)]
    html, markdown = write_report(make_run(tmp_path / "run", lines))
    assert "| granian asgi | ≥ 26 700 (generator saturated) |" in markdown
    assert (
        "Direct: granian asgi ≥ 26\u202f700/s (the generator was the limit). Of the others: most 3\u202f000/s (daphne"
        in html
    )
    assert 'class="dot asgi least"' in html
    ceilings = markdown.partition("#### How many requests")[2]
    assert ceilings.index("| granian asgi") < ceilings.index("| daphne asgi")  # first, though no median is known
    assert "| granian asgi | 100 (100–100) * a |" in markdown  # the CPU time of a request counts all the same


def test_other_broken_rules_give_no_figure_at_all_and_the_row_stays(tmp_path: Path) -> None:
    restarted = {"rule": "restarted", "reason": "the container was started again"}
    lines = [
        make_record("granian", "asgi", "direct", mode, number, invalid=[restarted, SATURATED])
        for mode in ("rate", "ceiling")
        for number in range(5)
    ]
    html, markdown = write_report(make_run(tmp_path / "run", lines))
    assert markdown.count("| granian asgi | invalid: restarted, generator |") == 5
    assert "restarted: the container was started again" in markdown and "no window counts" in html
    assert not re.search(r"\| 0(\.0+)? ", markdown)


def test_a_cell_that_is_not_measured_stays_with_its_reason(tmp_path: Path) -> None:
    lines = [make_record("granian", "asgi", "direct", "rate", number) for number in range(5)]
    cell = {name: lines[0][name] for name in Cell._fields}
    lines.append({**cell, "server": "daphne", "unmeasured": "fails the contract: HEAD | <GET>"})
    html, markdown = write_report(make_run(tmp_path / "run", lines))
    assert "| daphne asgi | not measured |" in markdown and "fails the contract: HEAD \\| <GET> |" in markdown
    assert "fails the contract: HEAD | &lt;GET&gt;" in html and "a &lt;CPU&gt;" in html


def test_equal_rows_tie_in_the_answer_and_share_a_letter(tmp_path: Path) -> None:
    source = random.Random(3)  # noqa: S311
    lines = []
    for (server, pair), cost in {
        ("granian", ""): 1.0,
        ("granian", "A/A"): 1.0,
        ("uvicorn", ""): 1.01,
        ("daphne", ""): 2.0,
    }.items():
        for number in range(5):
            cpu = {"app": 450e-4 * cost * source.lognormvariate(0, 0.05), "proxy": 0.0, "generator": 0.03}
            lines.append(make_record(server, "asgi", "direct", "ceiling", number, cpu=cpu, pair=pair))
    _, markdown = write_report(make_run(tmp_path / "run", lines))
    rows = dict(re.findall(r"\| (\w+) asgi \| \S+ \(\S+\)(.*?) \|", markdown.partition("#### How many")[0]))
    assert rows["granian"] == rows["uvicorn"] == " a" and rows["daphne"] == ""
    assert re.search(
        r"least \S+ µs \((granian|uvicorn) asgi, tied with (granian|uvicorn) asgi\), most \S+ µs \(daphne asgi\)",
        markdown,
    )


def test_an_interrupted_run_with_one_window_is_reported_as_such(tmp_path: Path) -> None:
    lines = [make_record("granian", "asgi", "nginx", "rate", 0)]
    html, markdown = write_report(make_run(tmp_path / "run", lines, interrupted=True, windows=255))
    for text in (html, markdown):
        assert "Interrupted: 1 of 255 windows were measured" in text
    assert "150 (one round)" in markdown and "100 + 50.0" in markdown and "At most 1 round a cell" in markdown


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    html, markdown = write_report(make_run(tmp_path / "run", make_default_run(1, 0.03)))
    assert not re.search(r"<script|<link|<img|\bsrc=|\bhref=.[^#]|@import|url\(|https?:", html)
    assert "prefers-color-scheme: dark" in html and html.count("<svg") == 10  # three times three panels, and memory's
    assert "own answer 10" in html and "A/A" in markdown
    for heading in ("What does a request cost?", "Invalid windows", "Noise floor", "Parity", "Method"):
        assert re.search(rf"^## {re.escape(heading)}", markdown, re.MULTILINE)
        assert re.search(rf"<h2[^>]*>{re.escape(heading)}", html)
    for question in (*(question.text.format(rate="300") for question in QUESTIONS), "What do app and NGINX cost"):
        assert f"#### {question}" in markdown and f"<h4>{question}" in html


def test_labels_do_not_overlap() -> None:
    for low, high in ((10, 1300), (900, 29000), (0.4, 12), (26, 53), (99, 101), (1, 1e6), (0.97, 1.13)):
        axis = Axis(low, high)
        labels = [(axis.at(tick) * PLOT, len(f"{tick:,g}") * CHARACTER) for tick in axis.find_ticks()]
        assert len(labels) >= 2, (low, high)
        for (x1, width1), (x2, width2) in itertools.pairwise(labels):
            assert x2 - x1 > (width1 + width2) / 2, (low, high)


def test_a_reason_and_the_line_of_the_own_answer_do_not_overlap(tmp_path: Path) -> None:
    broken = [{"rule": "restart", "reason": "a container ended 1 time"}]
    lines = [
        make_record(server, "asgi" * (server != "none"), "nginx", "ceiling", number, invalid=broken * is_broken)
        for server, is_broken in (("granian", False), ("uvicorn", True), ("none", False))
        for number in range(5)
    ]
    html, _ = write_report(make_run(tmp_path / "run", lines))
    panel = html.partition("<svg")[2].partition("</svg>")[0]
    reason = re.search(r'<text x="[\d.]+" y="([\d.]+)"[^>]*class="why">invalid: restart<', panel)
    baseline = re.findall(r'<line x1="[\d.]+" y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)" class="baseline"/>', panel)
    assert reason and baseline
    assert not any(float(top) < float(reason[1]) < float(bottom) for top, bottom in baseline)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0351, "0.035"),
        (1.234, "1.23"),
        (9.99, "9.99"),
        (34.56, "34.6"),
        (123.4, "123"),
        (26345.0, "26\u202f300"),
        (0, "0"),
    ],
)
def test_a_figure_has_three_digits(value: float, text: str) -> None:
    assert wording.format_number(value) == text


def test_a_scenario_without_servers_has_a_column_for_each_proxy(tmp_path: Path) -> None:
    lines = [
        make_record("none", "", proxy, mode, number, scenario="static", memory_peak={"proxy": 9 * 2**20})
        for proxy, mode, number in itertools.product(("nginx", "caddy"), ("rate", "ceiling"), range(5))
    ]
    _, markdown = write_report(make_run(tmp_path / "run", lines))
    assert "| nginx's own answer, µs |" in markdown and "Caddy's own answer: least 50.0 µs" in markdown
    assert "How much memory" not in markdown


def test_rows_say_what_tells_them_apart(tmp_path: Path) -> None:
    _, markdown = write_report(make_run(tmp_path / "run", make_findings_run()))
    assert "| granian asgi HTTP/1.1 |" in markdown and "| granian asgi HTTP/3 |" in markdown
    assert "| granian asgi bare |" in markdown and "| granian asgi fastapi |" in markdown
    assert "| granian asgi 1 worker |" in markdown and "| granian asgi 2 workers |" in markdown


def test_memory_is_told_after_warm_up_at_most_and_for_each_worker(tmp_path: Path) -> None:
    lines = [
        make_record("granian", "asgi", "direct", "ceiling", number, workers=workers)
        for number in range(5)
        for workers in (1, 2)
    ]
    _, markdown = write_report(make_run(tmp_path / "run", lines))
    table = markdown.partition("#### How much memory")[2]
    assert "| after warm-up, MiB | at most, MiB | at most, for each worker |" in table
    assert re.search(r"\| granian asgi 2 workers \| 38\.0 \(\S+\) \| 42\.0 \(\S+\) \S \| 21\.0 \|", table)


def test_cpu_time_survives_a_busy_machine_up_to_half_of_it_and_throughput_does_not(tmp_path: Path) -> None:
    busy = {"rule": "machine", "reason": "others used much of the stack's cores"}
    for others, cost in ((0.4, "| granian asgi | 100 (100–100) * |"), (0.6, "| granian asgi | invalid: machine |")):
        lines = [
            make_record("granian", "asgi", "direct", "ceiling", number, others=others, invalid=[busy])
            for number in range(5)
        ]
        _, markdown = write_report(make_run(tmp_path / str(others), lines))
        first, _, rest = markdown.partition("#### How many requests a second")
        assert cost in first and "| granian asgi | invalid: machine |" in rest.partition("####")[0]


def test_a_report_is_made_anew_by_name_or_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "one", make_default_run(1, 0.02, servers=1))
    page.main({"RUN": str(tmp_path / "one")})
    assert str(tmp_path / "one/report.html") in capsys.readouterr().out
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    (tmp_path / "one/report.md").unlink()
    page.main({"RUN": "one"})
    assert (tmp_path / "one/report.md").is_file()
    with pytest.raises(Problem, match="RUN is not given: make report RUN=<run>; there are one"):
        page.main({})


def test_every_file_of_the_bench_has_its_line() -> None:
    folders = [ROOT / "loadtests", *(file.parent for file in (ROOT / "loadtests").glob("*/README.md"))]
    for folder in folders:
        text = (folder / "README.md").read_text()
        if folder.name == "scenarios":  # the folder is the list
            continue
        names = [file.name for file in folder.iterdir() if file.is_file() and file.suffix != ".md"]
        assert [name for name in names if name != "__init__.py" and f"`{name}`" not in text] == [], folder.name
