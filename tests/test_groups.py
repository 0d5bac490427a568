"""How the tests are spread over the workers of pytest-xdist, and what interrupted workers leave."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import ROOT
from stack.waiting import wait_until
from tests.support import groups
from tests.support.engine import list_projects
from tests.support.stack import PREFIX

CLAIM = "tests/claims/test_c06_access.py"
SWEPT = f"{CLAIM}::test_no_spelling_of_the_path_reaches_the_admin_area[granian-asgi-bare]"
TWO_FILES = ("tests/test_proxies_tls.py", "tests/test_proxies_headers.py")


@pytest.mark.parametrize(
    ("name", "group"),
    [
        (SWEPT, groups.SWEEP),
        (f"{CLAIM}::verdict", groups.SWEEP),
        ("tests/test_servers.py::test_the_right_server_answers[gunicorn-wsgi-bare-nginx-http1.1]", groups.SWEEP),
        ("tests/claims/test_c01_request_response.py::verdict", "tests/claims/test_c01_request_response.py"),
        ("tests/test_proxies.py::test_events_arrive_one_by_one[nginx-http3]", "tests/test_proxies.py"),
        ("tests/test_bench_runs.py::test_another_busy_process_is_marked", groups.BENCH),
        (
            "tests/test_life.py::test_a_killed_worker_is_replaced",
            "tests/test_life.py::test_a_killed_worker_is_replaced",
        ),
    ],
)
def test_tests_that_share_a_server_or_a_verdict_are_one_group(name: str, group: str) -> None:
    assert groups.group_of(name, groups.list_swept_claims([SWEPT, name])) == group


def test_the_names_in_the_groups_exist() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_*.py")}
    assert set(groups.BENCH_FILES) <= files
    assert {name.partition("::")[0] for name in groups.SINGLE} <= files


@pytest.mark.full
def test_interrupted_workers_leave_nothing() -> None:
    # A second run of the tests, with two workers, is interrupted while their stacks start.
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *TWO_FILES]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    names = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    projects: set[str] = set()

    def both_run() -> bool:
        projects.update(f"{PREFIX}-shared-{worker}" for worker in names.read_text().split())
        return len(projects & list_projects()) == 2

    assert wait_until(both_run, 90), "their stacks did not start"
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=90)[0]
    assert process.returncode != 0 and "Interrupt" in output, output
    assert not projects & list_projects()


CRASH = """
import os, pytest

@pytest.mark.parametrize("number", range({tests}))
def test_it(number):
    with open({record!r}, "a") as record:
        print({name!r}, number, file=record)
    if number == {crash}:
        os.kill(os.getpid(), 11)
"""
SCHEDULER = """
from tests.support.groups import GroupScheduling

def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)
"""
# Of each file: how many tests, and which of them crashes. Groups of one test, and crashes at every end of a group.
FILES = {"a": (3, 1), "b": (2, None), "c": (1, None), "d": (3, 2), "e": (1, None), "f": (1, 0)}


def test_a_crashed_worker_fails_one_test_and_the_others_run(tmp_path: Path) -> None:
    record = tmp_path / "record"
    (tmp_path / "conftest.py").write_text(SCHEDULER)
    for name, (tests, crash) in FILES.items():
        test = CRASH.format(record=str(record), name=name, tests=tests, crash=crash)
        (tmp_path / f"test_{name}.py").write_text(test)
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:faulthandler",
        "-c",
        "/dev/null",
        str(tmp_path),
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    crashes = re.findall(r"crashed while running '(?:.*/)?test_(\w).py::test_it\[(\d)\]'", done.stdout)
    # pytest's summary repeats a message, unless its line is too long for the terminal.
    assert sorted(set(crashes)) == [(name, str(crash)) for name, (_, crash) in FILES.items() if crash is not None]
    assert "3 failed, 8 passed" in done.stdout, done.stdout
    each_test = [f"{name} {number}" for name, (tests, _) in FILES.items() for number in range(tests)]
    assert sorted(record.read_text().splitlines()) == each_test, "not once each"
