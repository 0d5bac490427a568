"""Which tests run, and behind which proxies."""

from typing import Any

import pytest

from stack import proxies
from tests.support.stack import DEFAULT_PROXIES, PROXIES, TWO_SERVERS, spoken_versions

FULL = "full"  # the mark of a test that `--fast` leaves out
CLAIMS = "tests/claims/"
# Fixtures of the containers that `--fast` does not start.
OTHER_CONTAINERS = {"checkout", "module_checkout", "protocols", "servers", "stoppable", "testbed"}
OTHER_PROXIES = set(PROXIES) - set(DEFAULT_PROXIES)


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
