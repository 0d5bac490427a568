"""What the bench's report answers where a grid of servers and ways does not, from known records."""

import itertools
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from loadtests.analysis import published, records
from loadtests.analysis.intervals import Interval
from loadtests.analysis.records import Run
from loadtests.report import findings, page, reference
from loadtests.report.grid import Part
from stack import ROOT, Problem
from tests.support import fabricated_runs
from tests.support.fabricated_runs import SATURATED, default, made, window, written
from tools import docs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    placement = {"stack": [0], "generator": [1]}
    return made(tmp_path_factory.mktemp("special") / "run", fabricated_runs.special(), placement=placement)


def own(run: Run, scenario: str) -> list[Part]:
    """A scenario's own parts."""
    return [part for table in (findings.FIRST, findings.AFTER) for part in findings.parts(run, scenario, table)]


def only(run: Run, scenario: str, place: int = 0) -> Part:
    """A scenario's own part."""
    return own(run, scenario)[place]


def row(part: Part, name: str) -> list[str]:
    """The line of a table that begins with a name."""
    return next(line for line in part.tables[0].lines if line[0] == name)


def test_slow_clients_are_borne_as_long_as_others_wait_at_most_twice_as_long(run: Run) -> None:
    part = only(run, "slow")
    figures = ["2.00 (2.00–2.00)", "2.32 (2.32–2.32)", "3.28 (3.28–3.28)", "7.12 (7.12–7.12) (!)"]
    assert row(part, "uvicorn asgi direct")[1:] == [*figures, "64"]
    assert row(part, "gunicorn wsgi direct")[2:] == ["gated: rate (!)"] * 3 + ["0"]
    assert row(part, "gunicorn wsgi behind nginx")[-1] == "256 or more"
    assert part.answer == (
        "Up to 0 slow clients: gunicorn wsgi direct; up to 64 slow clients: uvicorn asgi direct; "
        "up to 256 or more slow clients: granian asgi direct, granian asgi behind nginx, "
        "gunicorn wsgi behind nginx, uvicorn asgi behind nginx."
    )


def test_what_the_machine_hides_is_no_suffering(tmp_path: Path) -> None:
    busy = {"gate": "machine", "why": "others used 31% of the stack's cores"}
    lines = [
        window(
            "granian", "asgi", "direct", "rate", one, scenario="slow", variant=f"Slow{many}", gates=[busy] * (many > 16)
        )
        for one, many in itertools.product(range(5), (0, 16, 64))
    ]
    part = only(made(tmp_path / "run", lines), "slow")
    assert part.answer == "Up to 16 or more slow clients: granian asgi direct."
    assert row(part, "granian asgi direct")[3:] == ["gated: machine ?", "16 or more"]


def test_the_generators_are_compared_by_what_they_send_in_a_cpu_second_though_they_saturate(run: Run) -> None:
    part = only(run, "generator")
    assert re.match(r"The lean user sends 2\.[45]\d? times as many as FastHttpUser", part.answer)
    assert [section.parts for section in page.sections(run) if section.id == "generator"] == [[part]]  # no grid


def test_a_second_worker_brings_what_the_cores_allow(run: Run) -> None:
    assert re.match(r"On 1 core two workers answer (1\.9\d|2\.0\d|2)( to (2|2\.0\d))? times", only(run, "burn").answer)


@pytest.mark.parametrize("scenario", ["events", "sockets"])
def test_a_client_takes_what_memory_grew_by(run: Run, scenario: str) -> None:
    assert only(run, scenario).answer == "128 KiB."
    questions = [part.question for section in page.sections(run) if section.id == scenario for part in section.parts]
    assert "How many messages a second at most?" in questions and "How many requests a second at most?" not in questions


def test_waiting_is_measured_against_littles_law(run: Run) -> None:
    lines = {(line[0], line[1]): line for line in only(run, "wait").tables[0].lines}
    assert (
        lines["10 ms", "granian asgi direct"][3] == "1\u202f600" and lines["10 ms", "gunicorn wsgi direct"][5] == "800"
    )
    assert lines["100 ms", "granian asgi direct"][3] == "640" and lines["10 ms", "uvicorn asgi direct"][4] == "50%"


def test_a_proxy_is_measured_against_its_stock_configuration_and_the_least_it_could_cost(run: Run) -> None:
    ours, whole = own(run, "stock")
    nginx = row(ours, "nginx")
    assert nginx[4].startswith("0.26") or nginx[4].startswith("0.27")
    assert nginx[-1] == "met" and row(ours, "caddy")[-1] == "missed"  # 180 µs against 165
    # 44 µs + granian's own over its own + 3 × 10 µs
    cost = fabricated_runs.COSTS["granian", "asgi"]
    found = float(row(whole, "granian asgi")[3].split()[0])
    assert found == pytest.approx((cost + 44) / (cost + 30), rel=0.03)


def test_a_bar_is_met_or_missed_only_where_the_interval_says_so() -> None:
    assert findings.bar(Interval(0.2, 0.25, 0.29, 5), 0.3) == "met"
    assert findings.bar(Interval(0.31, 0.35, 0.4, 5), 0.3) == "missed"
    assert findings.bar(Interval(0.2, 0.25, 0.31, 5), 0.3).startswith("open")
    assert findings.bar(None, 0.3) == "not measured"


def test_a_scenario_without_servers_has_a_column_for_each_proxy(tmp_path: Path) -> None:
    lines = [
        window("none", "", proxy, mode, one, scenario="static", peak={"proxy": 9 * 2**20})
        for proxy, mode, one in itertools.product(("nginx", "caddy"), ("rate", "ceiling"), range(5))
    ]
    _, markdown = written(made(tmp_path / "run", lines))
    assert "| nginx by itself, µs |" in markdown and "Caddy by itself: the least is 50.0 µs" in markdown
    assert "How much memory" not in markdown


def test_rows_say_what_tells_them_apart(run: Run) -> None:
    _, markdown = written(run)
    assert "| granian asgi HTTP/1.1 |" in markdown and "| granian asgi HTTP/3 |" in markdown
    assert "| granian asgi bare |" in markdown and "| granian asgi fastapi |" in markdown
    assert "| granian asgi 1 worker |" in markdown and "| granian asgi 2 workers |" in markdown


def test_several_users_of_a_scenario_are_sub_headings_and_every_question_has_an_answer(run: Run) -> None:
    html, markdown = written(run)
    assert re.search(r"^### Wait10: 10 ms: at most", markdown, re.MULTILINE)
    assert re.search(r'<li><a href="#slow">.*</a> Up to 0 slow clients: gunicorn wsgi direct', html)  # at a glance
    for section in page.sections(run):
        assert all(part.answer for part in section.parts if part.question), section.heading


def test_a_whole_run_has_no_special_part_without_its_cells(tmp_path: Path) -> None:
    names = [*findings.FIRST, *findings.AFTER]
    lines = [window("granian", "asgi", "direct", "rate", 0, scenario=name, warm={}) for name in names]
    run = made(tmp_path / "run", lines)
    assert [own(run, name) for name in names] == [[] for _ in names]
    assert written(run)


def test_memory_is_told_after_warm_up_at_most_and_for_each_worker(tmp_path: Path) -> None:
    lines = [
        window("granian", "asgi", "direct", "ceiling", one, workers=workers) for one in range(5) for workers in (1, 2)
    ]
    _, markdown = written(made(tmp_path / "run", lines))
    table = markdown.partition("#### How much memory")[2]
    assert "| after warm-up, MiB | at most, MiB | at most, for each worker |" in table
    assert re.search(r"\| granian asgi 2 workers \| 38\.0 \(\S+\) \| 42\.0 \(\S+\) \S \| 21\.0 \|", table)


def test_cpu_time_survives_a_busy_machine_up_to_half_of_it_and_throughput_does_not(tmp_path: Path) -> None:
    busy = {"gate": "machine", "why": "others used much of the stack's cores"}
    for host, cost in ((0.4, "| granian asgi | 100 (100–100) * |"), (0.6, "| granian asgi | gated: machine |")):
        lines = [window("granian", "asgi", "direct", "ceiling", one, host=host, gates=[busy]) for one in range(5)]
        _, markdown = written(made(tmp_path / str(host), lines))
        first, _, rest = markdown.partition("#### How many requests a second")
        assert cost in first and "| granian asgi | gated: machine |" in rest.partition("####")[0]


# What others published


def ceilings(tmp_path: Path, rates: dict[tuple[str, str], float], **more: Any) -> Run:
    """A run of hello, direct, with these requests a second, 1 % apart."""
    lines = [
        window(*pair, "direct", "ceiling", one, requests=round(1.5 * rate * (1 + one / 400)), **more)
        for (pair, rate), one in itertools.product(rates.items(), range(5))
    ]
    return made(tmp_path / "run", lines)


def test_a_published_ratio_is_contradicted_where_the_interval_leaves_it_out(tmp_path: Path) -> None:
    run = ceilings(tmp_path, {("gunicorn", "asgi"): 7600, ("uvicorn", "asgi"): 26000, ("granian", "asgi"): 79300})
    part = published.part(run)
    assert part
    found = {(line[0], line[1]): line[3] for line in part.tables[0].lines}
    assert found["gunicorn asgi ÷ uvicorn asgi", "at least 0.95"] == "contradicts"
    assert found["granian asgi ÷ uvicorn asgi", "3.05"] == "agrees"
    assert found["granian asgi ÷ uvicorn asgi", "1.17"] == "contradicts"
    assert not any(line[0].startswith("granian wsgi") for line in part.tables[0].lines)
    assert part.answer == "2 of 3 are contradicted under our conditions." and "16 kept connections" in part.text


def test_reaching_more_than_was_promised_is_no_contradiction(tmp_path: Path) -> None:
    part = published.part(ceilings(tmp_path, {("gunicorn", "asgi"): 30000, ("uvicorn", "asgi"): 26000}))
    assert part and [line[3] for line in part.tables[0].lines] == ["agrees"]


def test_a_saturated_generator_leaves_a_published_ratio_open_or_contradicts_it(tmp_path: Path) -> None:
    lines = [window("granian", "asgi", "direct", "ceiling", one, requests=60000, gates=[SATURATED]) for one in range(5)]
    lines += [window("uvicorn", "asgi", "direct", "ceiling", one, requests=30000) for one in range(5)]
    part = published.part(made(tmp_path / "run", lines))
    assert part and {line[1]: line[2:4] for line in part.tables[0].lines} == {
        "3.05": ["≥ 2.00", "open"],
        "1.17": ["≥ 2.00", "contradicts"],
    }


def test_the_default_run_is_put_beside_what_others_published(tmp_path: Path) -> None:
    _, markdown = written(made(tmp_path / "run", default(1, 0.02)))
    assert "## Against what others published" in markdown and "Granian's benchmarks/vs.md" in markdown
    assert records.JUDGED[0] == ("ceiling", records.COST)


# The reference run


def test_the_readme_shows_what_the_reference_run_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "docs/bench"
    monkeypatch.setattr(docs, "BENCH", folder)
    assert docs.bench() == "" and "µs" not in docs.servers()  # as long as there is none
    reference.take(made(tmp_path / "2026-11-22-default", default(1, 0.02)), folder)
    reference.write(folder)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    shown = docs.bench()
    assert shown.startswith("![CPU time") and "](docs/bench/cost.svg)\nDirect: the least is 3" in shown
    assert shown.endswith("; [everything](docs/bench/report.md))") and "2 cores (a <CPU>)" in shown
    monkeypatch.undo()
    monkeypatch.setattr(docs, "BENCH", folder)
    rows = dict(re.findall(r"^\| \[`(\w+)`\].*\| asgi \|.* \| (.*?) \|$", docs.servers(), re.MULTILINE))
    assert re.fullmatch(r"\d\S+ · \d\S+ · \d\S+", rows["granian"])
    assert "µs a request: direct, nginx, caddy" in docs.servers()
    assert sum(file.stat().st_size for file in folder.iterdir()) < reference.MOST
    assert sorted(file.name for file in folder.iterdir()) == FILES


FILES = ["cost.svg", "machine.json", "report.md", "runs.jsonl", "summary.json"]


def test_what_is_committed_of_the_reference_run_follows_from_its_records(tmp_path: Path) -> None:
    folder = docs.BENCH
    if not folder.is_dir():  # before the first reference run: nothing may pretend to be one
        assert "docs/bench" not in (ROOT / "README.md").read_text()
        return
    for name in ("runs.jsonl", "machine.json"):
        shutil.copy2(folder / name, tmp_path)
    reference.write(tmp_path)
    for name in FILES:
        assert (folder / name).read_text() == (tmp_path / name).read_text(), name


def test_a_short_readme_is_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_reference_is_taken_of_a_run_that_is_not_whole(tmp_path: Path) -> None:
    broken = made(tmp_path / "broken", default(1, 0.02), interrupted=True)
    with pytest.raises(Problem, match=r"^broken was interrupted: `make bench RUN=broken` finishes it$"):
        reference.take(broken, tmp_path / "out")
    other = made(tmp_path / "other", fabricated_runs.special())
    with pytest.raises(Problem, match=r"^other has no ceilings of hello"):
        reference.take(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_picture_stands_alone_in_light_and_dark(tmp_path: Path) -> None:
    drawn = reference.picture(made(tmp_path / "run", default(1, 0.02)))
    assert "prefers-color-scheme: dark" in drawn and 'xmlns="http://www.w3.org/2000/svg"' in drawn
    assert not re.search(r"<script|@import|href|url\(", drawn)
    tree = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    texts = [one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "gunicorn-uvicorn asgi" in texts and {"direct", "nginx", "caddy"} <= set(texts)
    shapes = Counter(one.get("class") for one in tree.iter() if one.get("class", "").startswith("way"))
    assert shapes == dict.fromkeys(("way0", "way1", "way2"), len(fabricated_runs.COSTS) + 1)  # one in the legend


def test_a_report_is_made_anew_by_name_or_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "one", default(1, 0.02, servers=1))
    page.main({"RUN": str(tmp_path / "one")})
    assert str(tmp_path / "one/report.html") in capsys.readouterr().out
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    (tmp_path / "one/report.md").unlink()
    page.main({"RUN": "one"})
    assert (tmp_path / "one/report.md").is_file()
    with pytest.raises(Problem, match="RUN is not given: make report RUN=<run>; there are one"):
        page.main({})


def test_every_file_of_the_bench_has_its_line() -> None:
    told = (ROOT / "loadtests/README.md").read_text()
    files = [file.name for file in (ROOT / "loadtests").iterdir() if file.is_file() and file.suffix != ".md"]
    assert [name for name in files if name != "__init__.py" and f"`{name}`" not in told] == []
