"""Which tests run, behind which proxies, and which of them one worker runs one after another."""

from typing import Any

import pytest

from stack import proxies
from tests.support.stack import DEFAULT_PROXIES, PROXIES, TWO_SERVERS, spoken_versions

FULL = "full"  # the mark of a test that `--fast` leaves out
CLAIMS = "tests/claims/"
# Fixtures of the containers that `--fast` does not start.
OTHER_CONTAINERS = {"checkout", "module_checkout", "protocols", "servers", "stand", "stoppable", "testbed"}
OTHER_PROXIES = set(PROXIES) - set(DEFAULT_PROXIES)
# The groups that take longest. Workers begin with them, because a long group that begins last runs by itself.
LONGEST_FIRST = ("tests/test_commands", "sweep", "bench", "tests/test_proxies", "probe", "tests/test_life")


def parameters(item: pytest.Item) -> dict[str, Any]:
    """The values of an item's parameters by name."""
    return getattr(getattr(item, "callspec", None), "params", {})


def fixtures(item: pytest.Item) -> set[str]:
    """The names of the fixtures that an item uses."""
    return set(getattr(item, "fixturenames", ()))


def path_of(item: pytest.Item) -> str:
    """The item's file, from the root of the checkout."""
    return item.nodeid.partition("::")[0]


def mark_lacks(item: pytest.Item) -> None:
    """Expects a test to fail where its proxy lacks the duty that the test shows."""
    proxy = parameters(item).get("proxy", "")
    for mark in item.iter_markers("duty"):
        if lack := proxies.LACKS.get((proxy, mark.args[0])):
            item.add_marker(pytest.mark.xfail(reason=lack.why, raises=(AssertionError, KeyError), strict=True))


def is_asked(item: pytest.Item) -> bool:
    """Whether the item's proxy is asked at all.

    A proxy is not asked for an HTTP version that it does not speak. The proxies with a profile are asked with two
    servers only.
    """
    values = parameters(item)
    proxy, server = values.get("proxy", ""), values.get("served") or values.get("stoppable")
    if not proxy:
        return True
    return values.get("version", "1.1") in spoken_versions(proxy) and (
        proxy in DEFAULT_PROXIES or not server or server in TWO_SERVERS
    )


def is_fast(item: pytest.Item) -> bool:
    """Whether `--fast` runs the item: without containers, or on one stack of the default proxies.

    On that stack, one server an interface is asked over HTTP/1.1.
    """
    values = parameters(item)
    if path_of(item).startswith(CLAIMS) or item.get_closest_marker(FULL) or fixtures(item) & OTHER_CONTAINERS:
        return False
    return (
        not OTHER_PROXIES & {value for value in values.values() if isinstance(value, str)}
        and values.get("version", "1.1") == "1.1"
        and ("served" not in values or values["served"] in TWO_SERVERS)
    )


def assign_groups(items: list[pytest.Item], served: list[tuple[str, str, str]]) -> None:
    """Marks each item with its group, which pytest-xdist gives to one worker.

    `served` are the values of the session's own fixture of that name.
    """
    swept = {path_of(item) for item in items if is_swept(item, served)}
    probed = {path_of(item) for item in items if "protocols" in fixtures(item)}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item, swept, probed, served)))


def is_swept(item: pytest.Item, served: list[tuple[str, str, str]]) -> bool:
    """Whether an item is part of the sweep over every server."""
    return parameters(item).get("served") in served


def group_of(item: pytest.Item, swept: set[str], probed: set[str], served: list[tuple[str, str, str]]) -> str:
    """The group of an item: its file, unless its stack serves more files than one, or each test starts its own server.

    A claim's file stays together, because its last item is the verdict over the others.
    """
    path, values = path_of(item), parameters(item)
    if is_swept(item, served) or (path in swept and path.startswith(CLAIMS)):
        return "sweep"
    if path in probed:
        return "probe"
    if "Testbed" in vars(getattr(item, "module", object)):
        return "bench"  # one project, and one lock, for all
    if "stoppable" in values:
        return f"stop {'-'.join(values['stoppable'])}"
    if path == "tests/test_life.py":
        return item.nodeid.partition("::")[2]
    return path


def rank(item: pytest.Item) -> int:
    """The place of an item's group in the queue."""
    mark = item.get_closest_marker("xdist_group")
    name = mark.args[0] if mark else ""
    return next((place for place, group in enumerate(LONGEST_FIRST) if name.startswith(group)), len(LONGEST_FIRST))
