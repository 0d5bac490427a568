"""How long a command waits for a part that is not ready, and what ends the wait."""

import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stack import Problem, readiness
from stack.compose import Compose


class FakeCompose:
    """A project of two proxies whose containers say what `restarts` says."""

    def __init__(self, restarts: Callable[[], str]) -> None:
        self.restarts = restarts
        self.environment: dict[str, str] = {}
        ports = [{"published": "1", "target": 8443, "protocol": "tcp", "host_ip": "127.0.0.1"}]
        self.services = {
            "app": {"environment": {"HEALTH_PATH": "/"}},
            "certs": {"environment": {"DOMAIN": "localhost"}},
            "nginx": {"ports": ports},
            "caddy": {"ports": ports},
        }

    def inspect(self, container: str, template: str) -> str:
        """The state in which the container is."""
        return self.restarts()

    def containers(self, service: str = "", include_stopped: bool = False) -> list[str]:
        """Each service has one container."""
        return [] if service == "certs" else [service]

    def logs(self, container: str) -> str:
        """A log."""
        return f"the log of {container}"


def wait(restarts: Callable[[], str], faults: list[str]) -> str:
    compose = cast(Compose, FakeCompose(restarts))
    return readiness.wait_without_fault(compose, "no-container", "nginx", lambda: faults.pop(0), 5)


def test_a_restart_before_the_wait_does_not_count() -> None:
    assert wait(lambda: "false 3", ["502", "502", ""]) == ""


@pytest.mark.parametrize("later", ["false 4", "true 3"])
def test_a_restart_during_the_wait_ends_it(later: str) -> None:
    states = iter(["false 3", "false 3", later])
    with pytest.raises(Problem, match="nginx does not stay up: its log is above"):
        wait(lambda: next(states), ["refused"] * 9)


def test_the_first_proxy_that_fails_ends_the_wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = SimpleNamespace(count=0)

    def inspect(container: str, template: str) -> str:
        answers.count += container == "caddy"
        return f"false {answers.count if container == 'caddy' else 0}"

    compose: Any = FakeCompose(lambda: "")
    compose.inspect = inspect
    monkeypatch.setattr(readiness, "request_status", lambda *_: "refused")
    began = time.monotonic()
    with pytest.raises(Problem, match="caddy does not stay up"):
        readiness.wait_for_proxies(compose, ["nginx", "caddy"], seconds=30)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("name", "stays_up"), [("the app", False), ("the postgres", True)])
def test_only_an_apps_processes_may_not_end_again_and_again(
    monkeypatch: pytest.MonkeyPatch, name: str, stays_up: bool
) -> None:
    pids = itertools.count()
    monkeypatch.setattr(readiness.LostWorkers, "list_below", lambda *_: {str(next(pids))})
    monkeypatch.setattr(readiness, "PAUSE", 0.01)
    faults = [*["not yet"] * 20, ""]
    compose = cast(Compose, FakeCompose(lambda: "false 0 running 1"))

    def wait_for_it() -> str:
        return readiness.wait_without_fault(compose, "no-container", name, lambda: faults.pop(0), 5)

    if stays_up:
        assert wait_for_it() == "", "its start script ends many processes"
    else:
        with pytest.raises(Problem, match="the app does not stay up"):
            wait_for_it()
