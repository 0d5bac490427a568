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

@pytest.mark.parametrize("number", range({number}))
def test_it(number):
    with open({record!r}, "a") as record:
        print({name!r}, number, file=record)
    if {name!r} in ("a", "d") and number == {crash}:
        os.kill(os.getpid(), 11)
"""


@pytest.mark.parametrize(("number", "crash"), [(5, 2), (5, 0), (5, 4), (2, 1), (1, 0)])
def test_a_crashed_worker_fails_one_test_and_the_others_run(tmp_path: Path, number: int, crash: int) -> None:
    record = tmp_path / "record"
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_xdist_make_scheduler\n")
    for name in "abcdef":
        test = CRASH.format(record=str(record), name=name, number=number, crash=crash)
        (tmp_path / f"test_{name}.py").write_text(test)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-c",
        "/dev/null",
        f"--rootdir={tmp_path}",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    crashes = re.findall(r"crashed while running '(?:.*/)?test_(\w).py::test_it\[(\d)\]'", done.stdout)
    assert sorted(crashes) == [("a", str(crash)), ("d", str(crash))], done.stdout
    assert f"2 failed, {6 * number - 2} passed" in done.stdout, done.stdout
    ran = record.read_text().splitlines()
    assert sorted(ran) == [f"{name} {each}" for name in "abcdef" for each in range(number)], "once each"
