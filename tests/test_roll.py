"""The scripts of a deployment: rolls under load, that fail, back, and interrupted; one-off commands; logs."""

import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from stack import ROOT, swap
from stack.waiting import wait_until
from tests.support.deployment import Deployment, deployed
from tests.support.engine import inspect, read_logs
from tests.support.load import Load

pytestmark = pytest.mark.full
SEED = 11


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for this file. Each test leaves one app container that serves."""
    with deployed(tmp_path_factory.mktemp("roll") / "shop", "roll") as running:
        yield running


@pytest.fixture(scope="module")
def tag(deployment: Deployment) -> str:
    """The tag of the first version."""
    return deployment.read_tag()


def roll(deployment: Deployment, *words: str, **environment: str) -> str:
    """Rolls; what the script prints."""
    done = deployment.run("./roll", *words, **environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_roll_under_load_loses_no_get(deployment: Deployment) -> None:
    new = deployment.commit("second", **{"static/new.css": "b{}"})
    proxy = inspect(deployment.container("nginx"))["State"]["StartedAt"]
    since = time.time()
    release = "sh -c 'cat /app/static/version.txt >> /data/released'"
    with ExitStack() as loads:
        gets = [loads.enter_context(Load(deployment, "nginx", "GET")) for _ in range(6)]
        posts = [loads.enter_context(Load(deployment, "nginx", "POST")) for _ in range(2)]
        assert wait_until(lambda: all(load.answers["200"] > 20 for load in gets))
        roll(deployment, APP_RELEASE=release)
        assert wait_until(lambda: sum(load.answers.total() for load in gets) > 1000, 30), "there was no load"
    bad = [line for line in deployment.log_lines("nginx", since) if line.get("status", 200) >= 500]
    assert sum((load.answers for load in gets), Counter()).keys() == {"200"}, bad
    answers = sum((load.answers for load in posts), Counter())
    lost = answers.total() - answers["200"]  # sent to the old server, which closed without an answer
    assert set(answers) <= {"200", "502"} and answers["200"] > 200 and lost < answers["200"] / 50, answers
    assert deployment.read_tags() == [new] and deployment.read_tag() == new
    assert inspect(deployment.container("processes"))["Config"]["Image"].endswith(f":{new}")
    assert inspect(deployment.container("nginx"))["State"]["StartedAt"] == proxy, "the proxy was restarted"
    assert deployment.run("./run", "cat", "/data/released").stdout == "second", "the release ran once"
    assert deployment.get("nginx", "/static/version.txt").text == "second"
    assert deployment.get("nginx", "/static/new.css").text == "b{}"


@pytest.mark.deployments
@pytest.mark.parametrize(
    ("file", "release", "message"),
    [
        ("unhealthy", "", "rolled back: the app was not ready within 3 s (no index): its log is above"),
        ("crashes", "", "rolled back: the app does not stay up: its log is above"),
        ("fails", "sh -c 'echo no table; exit 4'", "APP_RELEASE failed (see above): the app was not changed"),
    ],
)
def test_the_old_version_goes_on_where_the_new_one_fails(
    deployment: Deployment, file: str, release: str, message: str
) -> None:
    before, running = deployment.read_tag(), deployment.apps()
    broken = deployment.commit(file, **{file: ""})
    with Load(deployment, "nginx", "GET") as load:
        done = deployment.run("./roll", START_TIMEOUT="3" if file == "unhealthy" else "20", APP_RELEASE=release)
    assert done.returncode == 1 and f"roll: {message}" in done.stderr, done.stderr
    evidence = {"unhealthy": "no index", "crashes": "no module shop", "fails": "no table"}[file]
    assert evidence in done.stderr
    assert load.answers["200"] > 20 and set(load.answers) == {"200"}
    assert deployment.apps() == running and deployment.read_tag() == before != broken
    assert not (deployment.folder / ".roll").exists()


@pytest.mark.deployments
def test_a_proxy_that_refuses_its_configuration_changes_nothing(deployment: Deployment) -> None:
    running, before = deployment.apps(), deployment.read_tag()
    done = deployment.run("./roll", "--to", before, READ_TIMEOUT="soon")
    assert done.returncode == 1 and "nginx does not accept its configuration" in done.stderr, done.stderr
    assert deployment.apps() == running


@pytest.mark.deployments
def test_another_folder_with_the_same_name_does_not_take_its_data(deployment: Deployment, tmp_path: Path) -> None:
    """Two projects in folders named `app` are two Compose projects named `app`, unless one has another name."""
    other = tmp_path / "deploy"
    shutil.copytree(deployment.folder, other)
    lines = (other / ".env").read_text().splitlines()
    (other / ".env").write_text("\n".join(line for line in lines if not line.startswith("COMPOSE_PROJECT_NAME")))
    (other / "compose.yaml").write_text(f"name: {deployment.project}\n" + (other / "compose.yaml").read_text())
    done = subprocess.run(
        ["./roll"], cwd=other, env=deployment.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and f"{deployment.project} runs from {deployment.folder}: set " in done.stderr


@pytest.mark.deployments
def test_the_way_back(deployment: Deployment, tag: str) -> None:
    roll(deployment, "--to", tag)
    assert deployment.read_tags() == [tag] and deployment.read_tag() == tag
    running = deployment.apps()
    deployment.compose.run("up", "--detach", "--no-build", "app")
    assert deployment.apps() == running, "Compose itself holds the containers of a roll for outdated"
    lines = deployment.run("./roll", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("  runs")] == [tag]
    done = deployment.run("./roll", "--to", "v0")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.search(rf"no image {deployment.project}-app:v0; there are: .*{tag}", done.stderr)
    assert "say ./roll, ./roll --to TAG, or" in deployment.run("./roll", "--back").stderr


@pytest.mark.deployments
def test_changed_code_has_a_tag_of_its_own_and_old_images_go(deployment: Deployment, tag: str) -> None:
    deployment.commit("before")
    (deployment.shop / "note.txt").write_text("not committed")
    shown = roll(deployment, KEEP="2")
    (new,) = deployment.read_tags()
    assert re.fullmatch(r"[0-9a-f]{7,}-dirty-\d{8}T\d{6}", new), shown
    listed = [line.split()[0] for line in deployment.run("./roll", "--list").stdout.splitlines()]
    assert len(listed) == 2 and listed[0] == new
    (deployment.shop / "note.txt").unlink()
    assert deployment.get("nginx", "/ready").status_code == 200


@pytest.mark.deployments
@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "hidden"), (signal.SIGTERM, "published"), (signal.SIGHUP, "before")]
)
def test_an_interrupted_roll_leaves_the_old_version_or_the_new_one(
    deployment: Deployment, number: signal.Signals, moment: str
) -> None:
    (old,) = deployment.apps()
    has_come = {
        "before": lambda: list(deployment.temporary.glob("*/config")),
        "hidden": lambda: len(deployment.apps()) == 2,
        "published": lambda: len(deployment.list_published()) == 2,
    }[moment]
    with deployment.start("./roll", "--to", deployment.read_tag()) as process:
        assert wait_until(has_come, 60, 0.02), f"no new container was {moment}"
        os.killpg(process.pid, number)
        if moment == "published":
            second = deployment.run("./roll", "--to", deployment.read_tag())
            assert (second.returncode, second.stderr) == (1, "roll: another roll works in this folder: wait for it\n")
        output, _ = process.communicate(timeout=90)
    (left,) = deployment.apps()
    if moment == "published":
        assert process.returncode == 0 and left != old, output
    else:
        assert process.returncode == 128 + number and left == old, output
        assert "roll: interrupted: the app was not changed" in output
    assert deployment.list_published() == [left]
    assert not (deployment.folder / ".roll").exists() and not list(deployment.temporary.iterdir())


@pytest.mark.deployments
def test_rolls_that_are_killed_are_cleaned_up_by_the_next_one(deployment: Deployment) -> None:
    deployment.scale(2)
    moments = random.Random(SEED)  # noqa: S311 - the same moments each time
    seen = []
    with Load(deployment, "nginx", "GET") as load:
        for list_new in (deployment.apps, deployment.list_published, deployment.apps):
            with deployment.start("./roll", "--to", deployment.read_tag()) as process:
                assert wait_until(lambda list_new=list_new: len(list_new()) > 2, 60, 0.02)
                time.sleep(moments.uniform(0, 2))
                os.killpg(process.pid, signal.SIGKILL)
            seen.append((len(deployment.apps()), len(deployment.list_published())))
        roll(deployment, "--to", deployment.read_tag())
    assert max(seen)[1] > 2, f"no roll was killed while both versions had the name: {seen}"
    assert len(deployment.apps()) == 2, "the containers of a killed roll counted as replicas"
    assert set(deployment.list_published()) == set(deployment.apps())
    assert set(load.answers) == {"200"}
    deployment.scale(1)


@pytest.mark.deployments
def test_a_roll_does_what_a_swap_of_the_laboratory_does(deployment: Deployment) -> None:
    """So what the tests of a swap show, and what the bench measures, is what a deployment does."""
    with record_calls(deployment) as rolled:
        roll(deployment, "--to", deployment.read_tag())
    with record_calls(deployment) as swapped:
        swap.swap_app(deployment.compose.with_settings({"GRACE": "19"}))
    assert rolled == swapped
    assert {("new", "start"), ("old", "stop"), ("new", "disconnect")} <= set(rolled)
    assert f"\nDNS_SECONDS={swap.DNS_SECONDS}\n" in (ROOT / "deploy/roll").read_text()


@contextmanager
def record_calls(deployment: Deployment) -> Iterator[list[tuple[str, str]]]:
    """What happens to the app's containers meanwhile, but for the checks: which of them, and what."""
    (old,) = deployment.apps()
    calls: list[tuple[str, str]] = []
    command = ["docker", "events", "--format", "{{json .}}"]
    with TemporaryFile("w+") as file, subprocess.Popen(command, stdout=file) as process:
        try:
            yield calls
            (new,) = deployment.apps()
            time.sleep(1)
        finally:
            process.terminate()
            process.wait()
        file.seek(0)
        names = {old: "old", new: "new"}
        for event in map(json.loads, file):
            container = event["Actor"]["Attributes"].get("container", event["Actor"]["ID"])
            if container in names and not event["Action"].startswith(("exec_", "top", "health_status")):
                calls.append((names[container], event["Action"]))


@pytest.fixture(scope="module")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tools of busybox, with docker and with git."""
    folder = tmp_path_factory.mktemp("busybox")
    program = shutil.which("busybox")
    if not program and shutil.which("apt-get"):
        subprocess.run(["apt-get", "download", "-qq", "busybox"], cwd=folder, check=False, capture_output=True)
        for package in folder.glob("busybox_*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
            program = str(folder / "bin/busybox")
    if not program:
        pytest.skip("no busybox on this host")
    tools = folder / "tools"
    tools.mkdir()
    for tool in subprocess.check_output([program, "--list"], text=True).split():
        (tools / tool).symlink_to(program)
    for tool in ("docker", "git"):
        (tools / tool).unlink(missing_ok=True)
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    return tools


@pytest.mark.deployments
def test_the_scripts_run_under_busybox(deployment: Deployment, busybox: Path) -> None:
    deployment.commit("busybox")
    shell, (old,) = str(busybox / "sh"), deployment.apps()
    done = deployment.run(shell, "roll", PATH=str(busybox))
    assert done.returncode == 0 and "not found" not in done.stderr, done.stderr
    assert deployment.apps() != [old] and len(deployment.apps()) == 1
    assert deployment.run(shell, "run", "sh", "-c", "exit 5", PATH=str(busybox)).returncode == 5
    assert "Uvicorn running" in deployment.run(shell, "logs", "Uvicorn running", PATH=str(busybox)).stdout


@pytest.mark.deployments
def test_a_command_runs_in_the_apps_surroundings(deployment: Deployment) -> None:
    done = deployment.run("./run", "sh", "-c", "echo $STATIC_DIR $0; [ -t 0 ] || echo no terminal; exit 3", "a word")
    assert (done.returncode, done.stdout) == (3, "static a word\nno terminal\n"), done.stderr
    assert deployment.run("./run").stderr == "run: say what to run, such as ./run python manage.py migrate\n"
    parent, child = pty.openpty()
    command = ["./run", "sh", "-c", "[ -t 0 ] && echo a terminal"]
    subprocess.run(command, cwd=deployment.folder, env=deployment.environment, stdin=child, stdout=child, check=True)
    assert "a terminal" in os.read(parent, 1000).decode()
    os.close(parent)
    os.close(child)


@pytest.mark.deployments
def test_the_lines_of_one_request(deployment: Deployment) -> None:
    answers = [deployment.get("nginx", "/process").headers["x-request-id"] for _ in range(3)]
    assert wait_until(lambda: answers[-1] in read_logs(deployment.container("nginx")))
    lines = deployment.run("./logs", answers[0]).stdout.splitlines()
    assert lines and all(answers[0] in line for line in lines)
    times = [line.split("|")[1].split()[0] for line in lines]
    assert times == sorted(times)
    assert deployment.run("./logs", "0" * 32).stderr == f"logs: no line holds {'0' * 32}\n"
