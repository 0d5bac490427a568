"""The stacks that the tests share, how the tests are spread over workers, and the evidence of a failure."""

import datetime
import json
import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import pytest

from stack import engine, images
from tests.support import groups, selection
from tests.support.checkout import checkout, checkout_images, module_checkout  # noqa: F401 - fixtures of test_commands_*.py
from tests.support.engine import inspect
from tests.support.groups import SERVED, GroupScheduling
from tests.support.guests import Guest
from tests.support.stack import (
    DEFAULT_PROXIES,
    HTTP_VERSIONS,
    PROXIES,
    StackUnderTest,
    remove_leftovers,
)
from tools import docs

STARTED = time.time()
MOST_WORKERS = 3  # each has a stack of about 600 MB
start_failures: list[str] = []
FAST_WORKERS = 2  # more would spend more time on their stacks than they save


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `make claims` and of `make test FAST=1`."""
    parser.addoption("--record", action="store_true", help="write each claim's verdict to docs/claims")
    parser.addoption("--fast", action="store_true", help="what one change needs: see tests/README.md")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Gives a group of tests to one worker, and the groups in the order of their ranks."""
    config.option.loadscopereorder = False  # by default xdist begins with the group of the most tests
    return GroupScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The number of workers for `-n auto`. Most of a test's time is waiting, so there is one more than cores."""
    return FAST_WORKERS if config.getoption("fast") else min((os.cpu_count() or 1) + 1, MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    """Ends on SIGTERM and a closed terminal as on Ctrl-C: with every stack removed."""
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, interrupt)
    signal.signal(signal.SIGINT, interrupt)  # the background jobs of a shell, and all that they start, ignore SIGINT
    config.addinivalue_line("markers", "duty(name): what the test shows, which a proxy may lack (stack/proxies.py)")
    config.addinivalue_line("markers", f"{selection.FULL}: needs more than the one stack of --fast")


def interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupts the tests once. A second signal, such as xdist's, must not interrupt the removal of the stacks."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True, tryfirst=True)  # a claim does not miss what is left out here
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leaves out what is not asked, expects what a proxy lacks, and puts long groups first for workers."""
    kept = [item for item in items if selection.is_asked(item)]
    if config.getoption("fast"):
        kept = [item for item in kept if selection.is_fast(item)]
    left_out = set(items) - set(kept)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = kept
    for item in items:
        selection.mark_lacks(item)
    yield
    if hasattr(config, "workerinput"):
        swept_claims = groups.list_swept_claims(item.nodeid for item in items)
        items.sort(key=lambda item: groups.rank(groups.group_of(item.nodeid, swept_claims)))


def pytest_report_header(config: pytest.Config) -> str:
    """The conditions of the run."""
    return f"engine: {engine.describe()}; images: {images.ensure()}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Notes a run of all tests that passed, with its conditions, for `make docs`. A worker notes nothing."""
    config = session.config
    is_part = config.option.keyword or config.getoption("fast") or config.args != ["tests"]
    is_part = is_part or "not deployments" not in config.option.markexpr  # another command's tests
    if hasattr(config, "workerinput") or exitstatus != 0 or is_part:
        return
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    note = {
        "passed": len(reporter.stats.get("passed", [])),
        "minutes": round((time.time() - STARTED) / 60),
        "cores": os.cpu_count(),
        "conditions": engine.describe(),
        "date": datetime.date.today().isoformat(),
    }
    docs.TESTS_NOTE.parent.mkdir(exist_ok=True)
    docs.TESTS_NOTE.write_text(json.dumps(note, indent=1) + "\n")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the stacks of workers that were killed before they could do so themselves."""
    if config.pluginmanager.has_plugin("dsession"):
        remove_leftovers()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[StackUnderTest]:
    """Every proxy (with --fast: the default ones); the app is whatever the last test served."""
    if start_failures:  # pytest would start the stack again for each test
        pytest.fail(f"the stack did not start: {start_failures[0]}", pytrace=False)
    parts = DEFAULT_PROXIES if pytestconfig.getoption("fast") else PROXIES
    shared = StackUnderTest(f"shared-{os.getpid()}", tmp_path_factory.mktemp("stack"), parts)
    with ExitStack() as end:
        try:
            end.enter_context(shared.running())
        except Exception as error:
            start_failures.append(f"{error}")
            raise
        yield shared


@pytest.fixture
def any_app(stack: StackUnderTest) -> None:
    """An app for tests that do not ask which server it is. A test that needs another server serves it."""
    stack.serve("granian", "asgi")


@pytest.fixture(scope="session", params=SERVED, ids="-".join)
def served(request: pytest.FixtureRequest, stack: StackUnderTest) -> StackUnderTest:
    """The stack with one server, interface and application; each in turn."""
    stack.serve(*request.param)
    return stack


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy."""
    return request.param


@pytest.fixture(params=HTTP_VERSIONS, ids="http{}".format)
def version(request: pytest.FixtureRequest) -> str:
    """Each HTTP version that a client can speak to a proxy."""
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test carries the state and the log of every container, as they are at that moment."""
    report = yield
    values = getattr(item, "funcargs", {})
    shared = values.get("stack") or values.get("served") or values.get("guest")
    if report.failed and isinstance(shared, StackUnderTest | Guest):
        for container in shared.compose.containers(include_stopped=True):
            details = inspect(container)
            state = details["State"]
            title = f"{details['Name']}: {state['Status']} exit {state['ExitCode']} oom {state['OOMKilled']}"
            report.sections.append((title, shared.compose.logs(container, 25)))
    return report
