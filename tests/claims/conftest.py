"""The fixtures of the claims, and the item `verdict` that ends each claim."""

import datetime
import os
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from stack import ROOT
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.protocols import Protocols
from tests.claims.support.server_starter import SingleServers
from tests.support.conditions import read_conditions
from tools import claims
from tools.claims.records import Record

LONG = "long"
FINDING = pytest.StashKey[Finding]()
TESTS = pytest.StashKey[list[pytest.Item]]()
PASSED = pytest.StashKey[bool]()
BEGAN = pytest.StashKey[float]()


def claim_of(module: ModuleType) -> Claim:
    """The claim that a file declares."""
    return module.CLAIM


class VerdictItem(pytest.Item):
    """The last item of a claim. It passes if every test of the claim passed and the verdict is the recorded verdict."""

    def runtest(self) -> None:
        """Concludes; then records the verdict (`make claims`) or compares it with the record (`make test`)."""
        module: Any = self.getparent(pytest.Module)
        claim = claim_of(module.obj)
        undone = [item.name for item in module.stash[TESTS] if not item.stash.get(PASSED, False)]
        if undone:
            pytest.fail(f"{claim.id} has no verdict: {', '.join(undone)} did not pass", pytrace=False)
        conclusion: Conclusion = module.obj.conclude(module.stash[FINDING])
        previous = claims.read(claim.id)
        if self.config.option.record:
            claims.write(self.build_record(claim, conclusion))
            self.announce(claim, conclusion, previous)
        else:
            compare_with_record(claim, conclusion, previous)

    def build_record(self, claim: Claim, conclusion: Conclusion) -> Record:
        """What docs/claims/<id>.json holds."""
        module: Any = self.getparent(pytest.Module)
        own_tests = dict.fromkeys(getattr(item, "originalname", item.name) for item in module.stash[TESTS])
        return {
            "id": claim.id,
            "says": claim.says,
            "verdict": conclusion.verdict,
            "evidence": conclusion.evidence,
            "file": str(self.path.relative_to(ROOT)),
            "tests": [*own_tests, *claim.also],
            "date": datetime.date.today().isoformat(),
            "seconds": round(time.monotonic() - module.stash[BEGAN], 1),
            "conditions": read_conditions(self.config),
            "tables": [table._asdict() for table in conclusion.tables],
            "finding": module.stash[FINDING],
        }

    def announce(self, claim: Claim, conclusion: Conclusion, previous: Record | None) -> None:
        """Prints the verdict, and how far the run of `make claims` is."""
        changed = previous and previous["verdict"] != conclusion.verdict
        before = f" (was: {previous['verdict']})" if previous and changed else ""
        progress = claims.progress(claim.id)
        line = f"\nclaims: {claim.id} {conclusion.verdict}{before}. {conclusion.evidence} {progress}".rstrip()
        capture: Any = self.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """The name of the item in reports."""
        return self.path, None, f"{self.path.stem}::verdict"


def compare_with_record(claim: Claim, conclusion: Conclusion, record: Record | None) -> None:
    """Fails where the verdict is not the recorded verdict."""
    recorded = record["verdict"] if record else "nothing"
    if recorded != conclusion.verdict:
        pytest.fail(
            f"{claim.id} is recorded as {recorded!r}, and now {conclusion.verdict!r}: {conclusion.evidence} "
            f"If that is right: make claims ONLY={claim.id}",
            pytrace=False,
        )


class ClaimModule(pytest.Module):
    """A claim's file: its tests, then its verdict."""

    def collect(self) -> Iterator[Any]:
        """The file's own tests and the verdict."""
        self.stash[FINDING] = {}
        yield from super().collect()
        yield VerdictItem.from_parent(self, name="verdict")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Any, parent: Any) -> pytest.Module | None:
    """A file that declares a claim ends in a verdict."""
    return ClaimModule.from_parent(parent, path=module_path) if module_path.name.startswith("test_c") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notes each claim's tests before the user's choice leaves any out. A claim with a long test has a long verdict."""
    for item in items:
        module = item.getparent(pytest.Module)
        if isinstance(module, ClaimModule):
            module.stash.setdefault(TESTS, [])
            if not isinstance(item, VerdictItem):
                module.stash[TESTS].append(item)
    for item in items:
        module = item.getparent(pytest.Module)
        tests = module.stash[TESTS] if module and isinstance(item, VerdictItem) else []
        if any(test.get_closest_marker(LONG) for test in tests):
            item.add_marker(LONG)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Notes which tests passed."""
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
    """What the tests of this claim have measured so far."""
    return request.node.stash[FINDING]


@pytest.fixture(scope="session")
def protocols(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protocols]:
    """A stack of its own with the probe container. It keeps its measurements for the whole run."""
    stack = Protocols(f"probe-{os.getpid()}", tmp_path_factory.mktemp("probe"))
    with stack.running():
        yield stack


@pytest.fixture(scope="session")
def servers() -> Iterator[SingleServers]:
    """Starts application servers without a proxy."""
    with SingleServers() as starter:
        yield starter
