"""The stacks that tests share, and the evidence of those that fail."""

import datetime
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from apps import serve
from stack import engine, images, proxies
from tests.support.checkout import checkout, module_checkout  # noqa: F401 - fixtures of test_commands_*.py
from tests.support.stack import (
    DEFAULT_PROXIES,
    HTTP_VERSIONS,
    PROXIES,
    TWO_SERVERS,
    StackUnderTest,
    remove_leftovers,
    spoken_versions,
)
from tools import docs

STARTED = time.time()
# Every server with the plain application, and every other application on one server. All of them on all: C26.
SERVED = [(*pair, "bare") for pair in serve.pairs()] + [
    ("granian", interface, app) for interface in serve.INTERFACES for app in serve.apps(interface) if app != "bare"
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make claims` asks for."""
    parser.addoption("--record", action="store_true", help="write each claim's verdict to docs/claims")


def pytest_configure(config: pytest.Config) -> None:
    """Ends on SIGTERM as on Ctrl-C: with every stack removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and all they start, ignore it
    config.addinivalue_line("markers", "duty(name): what the test shows, which a proxy may lack (stack/proxies.py)")


@pytest.hookimpl(tryfirst=True)  # a claim does not miss what is left out here
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is asked of which proxy.

    A test of a duty that a proxy lacks must fail there. An HTTP version that it does not speak is not asked for. The
    sweeps over every server go through the proxies that run by default, and through the others with two servers.
    """
    left_out = set()
    for item in items:
        given: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        proxy: str = given.get("proxy", "")
        for mark in item.iter_markers("duty"):
            if lack := proxies.LACKS.get((proxy, mark.args[0])):
                item.add_marker(pytest.mark.xfail(reason=lack.why, raises=(AssertionError, KeyError), strict=True))
        swept = given.get("served") or given.get("stoppable")
        if proxy and (
            given.get("version", "1.1") not in spoken_versions(proxy)
            or (proxy not in DEFAULT_PROXIES and swept and swept not in TWO_SERVERS)
        ):
            left_out.add(item)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def pytest_report_header(config: pytest.Config) -> str:
    """The conditions of the run."""
    return f"engine: {engine.describe()}; images: {images.ensure()}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Notes a whole run that passed, with its conditions, for `make docs`."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != 0 or session.config.option.keyword or session.config.args != ["tests"]:
        return
    note = {
        "passed": len(reporter.stats.get("passed", [])),
        "minutes": round((time.time() - STARTED) / 60),
        "cores": os.cpu_count(),
        "conditions": engine.describe(),
        "date": datetime.date.today().isoformat(),
    }
    docs.TESTS_NOTE.parent.mkdir(exist_ok=True)
    docs.TESTS_NOTE.write_text(json.dumps(note, indent=1) + "\n")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Every proxy; the app is whatever the last test served."""
    remove_leftovers()
    one = StackUnderTest(f"shared-{os.getpid()}", tmp_path_factory.mktemp("stack"))
    try:
        one.start_proxies()
        yield one
    finally:
        one.stop()


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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test carries what the containers said, as they are at that moment."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    one = getattr(item, "funcargs", {}).get("stack") or getattr(item, "funcargs", {}).get("served")
    if report.failed and isinstance(one, StackUnderTest):
        for container in one.compose.containers(include_stopped=True):
            state = one.compose.inspect(
                container, "{{.Name}}: {{json .State.Status}} exit {{.State.ExitCode}} oom {{.State.OOMKilled}}"
            )
            report.sections.append((state, one.compose.logs(container, 25)))
