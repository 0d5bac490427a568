"""What the tests of one proxy each share: containers and measurements of every proxy, started side by side."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.stack import StackUnderTest


def list_proxies(request: pytest.FixtureRequest) -> list[str]:
    """The proxies of the selected tests that use this fixture, in the file that asks for it."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    users = [test for test in tests if request.fixturename in test.fixturenames]
    return list(dict.fromkeys(str(test.callspec.params["proxy"]) for test in users))


@contextmanager
def run_variants(
    stack: StackUnderTest, proxies: Sequence[str], volumes: Sequence[str] = (), **settings: str
) -> Iterator[dict[str, Future[str]]]:
    """By proxy: the address of one more container of it, with other settings and further mounts.

    A test that asks for an address waits for its own container only.
    """
    with ExitStack() as containers, ThreadPoolExecutor(len(proxies)) as pool:
        yield {
            proxy: pool.submit(containers.enter_context, stack.variant(proxy, volumes, **settings)) for proxy in proxies
        }
