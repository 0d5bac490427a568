"""What comes back by itself after a restart, and the page that says so (docs/boot.md)."""

import subprocess
import sys

import pytest

from stack import ROOT
from stack.waiting import wait_until
from tests.support.engine import inspect, list_containers, run_once
from tests.support.notes import read_commands
from tests.support.stack import IMAGES, StackUnderTest

pytestmark = pytest.mark.full
# Kills processes of the engine's host, as no command of Docker does: a container that Docker stops stays stopped.
KILL = "import os, sys; [os.kill(int(process), 9) for process in sys.argv[1:]]"


def read_states(stack: StackUnderTest) -> dict[str, tuple[str, int]]:
    """The status and the process of the containers of every proxy and of the app."""
    containers = [each for part in (*stack.proxies, "app") for each in list_containers(stack.compose.project, part)]
    states = {container: inspect(container)["State"] for container in containers}
    return {container: (state["Status"], state["Pid"]) for container, state in states.items()}


def run_here(stack: StackUnderTest, *command: str) -> str:
    """What a command prints that asks about the stack's project; it must succeed."""
    done = subprocess.run(command, cwd=ROOT, env=stack.compose.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("any_app")
def test_every_part_comes_back_when_its_process_is_killed(stack: StackUnderTest) -> None:
    before = read_states(stack)
    processes = {process for _, process in before.values()}
    assert len(processes) == len(stack.proxies) + 1
    command = ("python3", "-c", KILL, *map(str, processes))
    run_once(f"{IMAGES}-app", *command, pid_mode="host", user="0", network_mode="none")
    try:
        assert wait_until(lambda: not processes & {process for _, process in read_states(stack).values()}, 20)
        assert wait_until(lambda: {status for status, _ in read_states(stack).values()} == {"running"}, 20)
        stack.wait_for_proxies(stack.proxies)
        assert read_states(stack).keys() == before.keys(), "a container was replaced"
        for proxy in stack.proxies:
            assert stack.get(proxy, "/ready").status_code == 200
        check_page(stack)
    finally:
        stack.serving = None


def check_page(stack: StackUnderTest) -> None:
    """`make ps` and the page's commands say that everything runs, before Docker's own checks have passed."""
    listed = run_here(stack, sys.executable, "-m", "stack", "ps")
    assert listed.count("running, healthy") == len(stack.proxies) + 1, listed
    printed = run_here(stack, "sh", "-euxc", read_commands("boot.md"))
    for part in (*stack.proxies, "app"):
        assert f"/{stack.compose.project}-{part}-1 unless-stopped" in printed
