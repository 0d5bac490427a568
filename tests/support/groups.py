"""Which tests one worker of pytest-xdist runs one after another, and with which tests the workers begin.

A group is made from the names of the tests only, because the process that hands out the tests does not collect them.
"""

import re
from collections.abc import Iterable

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from apps.runtime import serve

# Every server with the plain application, and every other application on one server. All of them on all: C26.
SERVED = [(*pair, "bare") for pair in serve.pairs()] + [
    ("granian", interface, app) for interface in serve.INTERFACES for app in serve.apps(interface) if app != "bare"
]
SERVED_ID = re.compile("|".join(rf"\b{re.escape('-'.join(choice))}\b" for choice in SERVED))
CLAIMS = "tests/claims/"
SWEEP, BENCH = "sweep", "bench"
BENCH_FILES = ("tests/test_bench_runs.py", "tests/test_bench_scenarios.py")  # one project and one lock for all
# Tests that start the server that they need, so each is a group of its own.
SINGLE = ("tests/test_life.py::", "tests/test_servers.py::test_sigterm_lets_the_request_in_flight_finish")
# The groups that take longest. Workers begin with them, because a long group that begins last runs by itself.
LONGEST_FIRST = ("tests/test_commands", SWEEP, BENCH, "tests/test_proxies", "tests/test_life", "tests/test_servers")


def list_swept_claims(names: Iterable[str]) -> set[str]:
    """The files of the claims that are asked of every server."""
    return {name.partition("::")[0] for name in names if name.startswith(CLAIMS) and SERVED_ID.search(name)}


def group_of(name: str, swept_claims: set[str]) -> str:
    """The group of a test: its file, unless files share their servers, or each test of the file starts its own.

    A claim's file stays together, because its last item is the verdict over the others.
    """
    path = name.partition("::")[0]
    if path in swept_claims or (SERVED_ID.search(name) and not path.startswith(CLAIMS)):
        return SWEEP
    if path in BENCH_FILES:
        return BENCH
    return name if name.startswith(SINGLE) else path


def rank(group: str) -> int:
    """The place of a group in the queue."""
    return next((place for place, start in enumerate(LONGEST_FIRST) if group.startswith(start)), len(LONGEST_FIRST))


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups, in the order in which the workers collected them."""

    swept_claims: set[str] | None = None

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test (xdist's own name for this method)."""
        if self.swept_claims is None:
            self.swept_claims = list_swept_claims(self.collection or ())
        return group_of(nodeid, self.swept_claims)

    def remove_node(self, node: WorkerController) -> str | None:
        """Takes a worker out; the test in which it crashed. Other workers get what it has not run.

        (!) xdist would hand out the crashed test again, and groups without a test, for which a worker waits for ever.
        """
        left = {name: tests for tests in self.assigned_work.pop(node).values() for name in tests if not tests[name]}
        crashed = next(iter(left), None)
        if crashed:
            left.pop(crashed)[crashed] = True
            self.workqueue.update({self._split_scope(name): tests for name, tests in left.items()})
            for other in self.nodes:
                self._reschedule(other)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        """Gives a worker groups until it has three tests (xdist's own name for this method).

        (!) xdist gives a single group. A worker runs a test only when it knows the next test, or that there is none.
        """
        if node not in self.registered_collections:
            return  # it replaces a worker, and still collects
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 3:
            self._assign_work_unit(node)
        if not self.workqueue and not node.shutting_down:
            node.shutdown()
