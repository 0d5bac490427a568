"""How a claim's tests share what they find, and how the claim ends in a verdict."""

import datetime
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from stack import ROOT, engine
from tests.claims import Claim, Conclusion, Finding
from tests.claims.protocols import Protocols
from tests.claims.single_server import SingleServers
from tests.support.engine import docker
from tests.support.stack import IMAGES, PROXIES, proxy_version, remove_leftovers
from tools import claims

LONG = "long"
FOUND = pytest.StashKey[Finding]()
TESTS = pytest.StashKey[list[pytest.Item]]()
PASSED = pytest.StashKey[bool]()
BEGAN = pytest.StashKey[float]()
CONDITIONS = pytest.StashKey[dict[str, Any]]()


def claim_of(module: ModuleType) -> Claim:
    """The claim that a file declares."""
    return module.CLAIM


class VerdictItem(pytest.Item):
    """The last item of a claim: passes if every test of the claim passed and the verdict is the recorded one."""

    def runtest(self) -> None:
        """Concludes, and records or compares."""
        module: Any = self.getparent(pytest.Module)
        claim = claim_of(module.obj)
        undone = [item.name for item in module.stash[TESTS] if not item.stash.get(PASSED, False)]
        if undone:
            pytest.fail(f"{claim.id} has no verdict: {', '.join(undone)} did not pass", pytrace=False)
        conclusion: Conclusion = module.obj.conclude(module.stash[FOUND])
        record = claims.read(claim.id)
        if not self.config.option.record:
            known = record["verdict"] if record else "nothing"
            if known != conclusion.verdict:
                pytest.fail(
                    f"{claim.id} is recorded as {known!r}, and now {conclusion.verdict!r}: {conclusion.evidence} "
                    f"If that is right: make claims ONLY={claim.id}",
                    pytrace=False,
                )
            return
        tests = [*dict.fromkeys(getattr(item, "originalname", item.name) for item in module.stash[TESTS]), *claim.also]
        claims.write(
            {
                "id": claim.id,
                "says": claim.says,
                "verdict": conclusion.verdict,
                "evidence": conclusion.evidence,
                "file": str(self.path.relative_to(ROOT)),
                "tests": tests,
                "date": datetime.date.today().isoformat(),
                "seconds": round(time.monotonic() - module.stash[BEGAN], 1),
                "conditions": conditions(self.config),
                "tables": [table._asdict() for table in conclusion.tables],
                "found": module.stash[FOUND],
            }
        )
        was = f" (was: {record['verdict']})" if record and record["verdict"] != conclusion.verdict else ""
        done = claims.progress(claim.id)
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\nclaims: {claim.id} {conclusion.verdict}{was}. {conclusion.evidence} {done}".rstrip(), flush=True)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where the item stands."""
        return self.path, None, f"{self.path.stem}::verdict"


class ClaimModule(pytest.Module):
    """A claim's file: its tests, then its verdict."""

    def collect(self) -> Iterator[Any]:
        """The file's own tests and the verdict."""
        self.stash[FOUND] = {}
        yield from super().collect()
        yield VerdictItem.from_parent(self, name="verdict")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Any, parent: Any) -> pytest.Module | None:
    """A file that declares a claim ends in a verdict."""
    return ClaimModule.from_parent(parent, path=module_path) if module_path.name.startswith("test_c") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Knows each claim's tests before a user's choice leaves any out; a claim with a long test has a long verdict."""
    for item in items:
        module = item.getparent(pytest.Module)
        if isinstance(module, ClaimModule):
            module.stash.setdefault(TESTS, [])
            if not isinstance(item, VerdictItem):
                module.stash[TESTS].append(item)
    for item in items:
        module = item.getparent(pytest.Module)
        tests = module.stash[TESTS] if module and isinstance(item, VerdictItem) else []
        if any(one.get_closest_marker(LONG) for one in tests):
            item.add_marker(LONG)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Notes what passed."""
    outcome: Any = yield
    report = outcome.get_result()
    module = item.getparent(pytest.Module)
    if module:
        module.stash.setdefault(BEGAN, time.monotonic() - report.duration)
    item.stash[PASSED] = item.stash.get(PASSED, True) and (report.passed or report.when == "teardown")
    if report.skipped:
        item.stash[PASSED] = False


@pytest.fixture(scope="module")
def finding(request: pytest.FixtureRequest) -> Finding:
    """What the tests of this claim have found so far."""
    return request.node.stash[FOUND]


@pytest.fixture(scope="session")
def protocols(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protocols]:
    """A stack of its own with the probes' container, and what they have measured in this run."""
    remove_leftovers()
    one = Protocols(f"probe-{os.getpid()}", tmp_path_factory.mktemp("probe"))
    try:
        one.start_proxies()
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def servers() -> Iterator[SingleServers]:
    """Servers by themselves, without proxies."""
    one = SingleServers()
    try:
        yield one
    finally:
        one.stop()


def conditions(config: pytest.Config) -> dict[str, Any]:
    """Where and with what a claim was measured: asked of the images once a run."""
    if CONDITIONS in config.stash:
        return config.stash[CONDITIONS]
    code = (
        "import json, platform; from importlib.metadata import distributions as d; "
        "print(json.dumps({'python': platform.python_version()} | {x.name.lower(): x.version for x in d()}))"
    )
    run = ("run", "--rm", "--network", "none", "--entrypoint")
    inside = json.loads(docker(*run, "python3", f"{IMAGES}-app", "-c", code))
    lines = (ROOT / "requirements/app.in").read_text().splitlines()
    wanted = ["python", *sorted(name[0] for line in lines if (name := re.match(r"[a-z][\w-]*", line)))]
    inside |= dict(pin.partition("==")[::2] for pin in claims.pins())
    versions = {name: inside[name] for name in wanted} | {name: proxy_version(name) for name in PROXIES}
    config.stash[CONDITIONS] = {
        "versions": versions,
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, {engine.describe()}",
        "client": f"Python {platform.python_version()}",
    }
    return config.stash[CONDITIONS]
