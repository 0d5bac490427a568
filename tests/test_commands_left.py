"""What the commands leave behind: no container, network or volume, and no image that was replaced."""

import json
import os
import signal
import subprocess
import sys

import pytest

from stack import ROOT, images
from stack.build import build, remove_images
from stack.compose import LABEL, Compose
from stack.waiting import wait_until
from tests.support.checkout import OWN_IMAGES, Checkout, complaint, list_project
from tests.support.engine import client
from tests.support.stack import PREFIX


def test_a_first_start_that_is_interrupted_leaves_nothing(checkout: Checkout) -> None:
    process = checkout.start_make("up")
    assert wait_until(checkout.left, 60), "it did not begin"
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and all that it runs
    output, _ = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "Traceback" not in output and "interrupted" in output
    assert checkout.left() == []


def test_a_swap_keeps_the_number_of_containers(checkout: Checkout) -> None:
    assert checkout.make("up", "PROXY=nginx").returncode == 0
    scale = ["docker", "compose", "up", "--detach", "--no-deps", "--no-recreate", "--scale", "app=2", "app"]
    subprocess.run(scale, cwd=checkout.folder, env=checkout.environment, check=True, capture_output=True)
    done = checkout.make("up", "PROXY=nginx", "SERVER=uvicorn", "WORKERS=1")
    assert done.returncode == 0, done.stderr
    assert len(checkout.containers("app")) == 2
    assert not list((checkout.folder / ".cache").glob("swap-*"))


def test_a_replica_that_was_stopped_does_not_hold_a_start(checkout: Checkout) -> None:
    assert checkout.make("up", "PROXY=nginx").returncode == 0
    command = ["docker", "compose", "up", "--detach", "--no-deps", "--no-recreate", "--scale", "app=2", "app"]
    subprocess.run(command, cwd=checkout.folder, env=checkout.environment, check=True, capture_output=True)
    stopped, _ = checkout.containers("app")
    client().api.stop(stopped, timeout=0)
    done = checkout.make("up", "PROXY=nginx")
    assert done.returncode == 0, done.stderr
    assert stopped not in checkout.left(), "an interrupted swap leaves such a container"


def test_a_second_command_at_the_same_time_is_refused(checkout: Checkout) -> None:
    first = checkout.start_make("up", "PROXY=nginx")
    assert wait_until(checkout.left, 60), "it did not begin"
    for target in ("up", "down"):
        assert f"{target}: another `make up`, `make down` or `make destroy` runs" in complaint(checkout.make(target))
    output, _ = first.communicate(timeout=90)
    assert first.returncode == 0, output
    assert len(checkout.containers("app")) == 1


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_the_tests_leave_nothing_when_interrupted(number: signal.Signals) -> None:
    # A second run of the tests, of one test, is interrupted while its stack runs.
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_proxies.py", "-k", "alt_svc"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    project = f"{PREFIX}-shared-{process.pid}"
    label = f"{LABEL}.project={project}"
    assert wait_until(lambda: client().api.containers(filters={"label": label}), 60), "its stack did not start"
    os.killpg(process.pid, number)
    process.communicate(timeout=90)
    assert process.returncode != 0
    assert list_project(project) == []


def import_image(project: str, content: str) -> str:
    """Makes an image with an empty layer; its id. A project's next image takes the name, as a new build does."""
    changes = [f"LABEL {LABEL}.project={project}", f"LABEL content={content}"]
    result = client().api.import_image_from_data(b"\0" * 10240, repository=project, tag="latest", changes=changes)
    return json.loads(result)["status"]


def test_an_image_that_was_replaced_is_removed_and_nobody_elses() -> None:
    project, other = f"{PREFIX}-images-{os.getpid()}", f"{PREFIX}-others-{os.getpid()}"
    ids = [import_image(name, content) for name in (project, other) for content in ("old", "new")]
    assert len(set(ids)) == 4
    assert remove_images(project, "dangling=true") == (1, 0)
    assert [images.exists(image) for image in ids] == [False, True, True, True]
    assert remove_images(project) == (1, 0)
    assert remove_images(other) == (2, 0)


def test_every_run_of_the_tests_has_the_same_images(checkout: Checkout) -> None:
    """Otherwise each run would build new images, and the old ones would stay."""
    tag = f"{OWN_IMAGES}-nginx"
    before = client().images.get(tag).id
    for name in ("one", "another"):
        build(Compose(checkout.environment | {"COMPOSE_PROJECT_NAME": f"{PREFIX}-{name}-{os.getpid()}"}), ["nginx"])
        assert client().images.get(tag).id == before
