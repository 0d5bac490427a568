"""`make export`: a folder that needs Docker and a shell only, and that runs what was tried here."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack import ROOT, Problem, export, own_app, settings
from stack.compose import Compose
from stack.export_files import Deployment, read
from stack.waiting import wait_until
from tests.support.engine import client, exec_in
from tests.support.exported import CHOICES, Exported, exported
from tests.support.load import Load
from tests.support.stack import own_environment

# What a deployment has no use for: names of tests, of make targets, and of what is in this repository only.
FOREIGN = re.compile(
    r"Checked by|\btest_|\bmake (?:up|down|destroy|run|logs|trust|images|export|test|bench|claims|docs|lock)\b"
    r"|(?<![\w/])(?:stack|tests|tools|loadtests|images)/|docs/decisions|docs/claims|laborator|benchmark"
)
MB = 1000 * 1000
pytestmark = pytest.mark.full


@pytest.fixture(scope="module", params=list(CHOICES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """An export of each choice; its application runs once `running` has started it."""
    with exported(tmp_path_factory.mktemp("export"), request.param) as made:
        yield made


@pytest.fixture(scope="module")
def running(folder: Exported) -> Exported:
    """The export, started by its own script."""
    done = folder.run("./roll", TAG="first")
    assert done.returncode == 0, done.stderr
    folder.trust()
    return folder


def list_texts(folder: Path) -> dict[str, str]:
    """The files of an export, but for the list of them."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != own_app.EXPORTED]
    return {file.relative_to(folder).as_posix(): file.read_text() for file in files}


def find_foreign(texts: dict[str, str]) -> list[str]:
    """The lines that speak of what a deployment does not have."""
    return [f"{name}: {line}" for name, text in texts.items() for line in text.splitlines() if FOREIGN.search(line)]


@pytest.mark.deployments
def test_no_file_of_an_export_speaks_of_this_repository(folder: Exported) -> None:
    texts = list_texts(folder.folder)
    assert not find_foreign(texts)
    others = {"nginx", "caddy", "apache", "traefik", "haproxy"} - {*folder.choice.services}
    assert not [
        name for name in others if (folder.folder / name).exists() or f"{name.upper()}_" in texts[".env.example"]
    ]
    pages = {page for text in texts.values() for page in re.findall(r"docs/[\w-]+\.md", text)}
    assert pages <= texts.keys(), "a page that is not there is named"
    assert len(texts["README.md"].splitlines()) <= 80
    assert (folder.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "$ecret" not in "".join(text for name, text in texts.items() if name != ".env")
    done = folder.run("docker", "compose", "config", "--quiet")
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.deployments
def test_an_export_needs_docker_and_a_shell_only(running: Exported) -> None:
    assert not [name for name in ("python", "python3") if (running.tools / name).exists()]
    for proxy in running.choice.settings["PROXY"].split(","):
        answer = running.get(proxy, "/process").json()
        assert answer["server"] == "first"
    if running.name == "database":
        assert answer["database"] == "postgresql://app:it%27s%20%24ecret@postgres/app"
        assert running.run("./run", "cat", "/data/released").stdout == "x", "APP_RELEASE ran once"
    if running.name == "files":
        assert answer["key"] == "s3cr3t"
        assert running.get("nginx", "/static/site.css").text == "s3cr3t\n"
        assert wait_until(lambda: exec_in(running.container("processes"), "cat", "/data/worker") == "runs", 10)


@pytest.mark.deployments
def test_an_export_has_the_configuration_that_was_tried_here(folder: Exported) -> None:
    here, there = (read_configuration(compose) for compose in (folder.here, folder.there))
    assert there.keys() - {"acme"} == {*folder.choice.services, "certs"}
    if "postgres" not in there:
        for service in here.values():
            for name in ("PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD"):
                service.get("environment", {}).pop(name, "")
    for service, facts in there.items():
        for name in facts.keys() | here[service].keys():
            assert facts.get(name) == here[service].get(name), (service, name)


def read_configuration(compose: Compose) -> dict[str, Any]:
    """The effective configuration of each service, without the project's name and without what an export states."""
    text = re.sub(rf"{compose.project}(-here)?\b", "PROJECT", json.dumps(compose.config["services"]))
    services: dict[str, Any] = json.loads(text)
    for service in services.values():
        service.pop("profiles", None)
        service["image"] = service["image"].partition(":")[0].replace(compose.image_project, "PROJECT")
        service.get("build", {}).pop("context", None)
        service.get("build", {}).pop("dockerfile", None)
        arguments = service.get("build", {}).get("args", {})
        for name in ("HERE", "RUNTIME"):
            arguments.pop(name, None)
        service.get("environment", {}).pop("INTERFACE", None)
    return services


@pytest.mark.deployments
def test_an_export_builds_the_image_that_was_tried_here(running: Exported) -> None:
    here, there = (client().images.get(name) for name in (running.here.image("app"), f"{running.project}-app:first"))
    for command in (["cat", "/srv/requirements.txt"], ["find", "/venv", "/app", "-type", "f", "!", "-name", "*.pyc"]):
        assert run(there.id, *command) == run(here.id, *command), command
    config = [{**image.attrs["Config"], "Labels": None} for image in (here, there)]
    assert config[1] == config[0]
    python = client().images.get(running.settings["PYTHON_IMAGE"]).attrs["Size"]
    assert there.attrs["Size"] < python + 200 * MB
    assert not {".venv", "deploy"} & {*run(there.id, "ls", "-A", "/app").split()}


def run(image: str, *command: str) -> str:
    """What a command prints in a container of an image, in a fixed order."""
    output = client().containers.run(image, list(command), remove=True, network_mode="none").decode()
    return "\n".join(sorted(output.splitlines()))


@pytest.mark.parametrize("folder", ["files"], indirect=True)
def test_a_roll_of_an_export_under_load_loses_no_request(running: Exported) -> None:
    running.write("second")
    with Load(running, "nginx", "GET") as nginx, Load(running, "caddy", "GET") as caddy:
        assert wait_until(lambda: all(load.answers["200"] > 20 for load in (nginx, caddy)))
        done = running.run("./roll", TAG="second")
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda: all(load.servers["second"] > 20 for load in (nginx, caddy)))
    for load in (nginx, caddy):
        assert load.answers.keys() == {"200"}, load.answers
        assert load.servers.keys() == {"first", "second"}, load.servers
    assert "TAG=second" in (running.folder / ".env").read_text()


# --- The folder itself ---


def test_a_second_export_keeps_what_is_the_users(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    export.write(folder, {"compose.yaml": "1", "old/file": "1", ".env": "A=1\n"})
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    (folder / ".env").write_text("A=mine\n")
    (folder / "notes/mine.txt").parent.mkdir()
    (folder / "notes/mine.txt").write_text("mine")
    export.check(folder, tmp_path)
    export.write(folder, {"compose.yaml": "2", ".env": "A=2\n"})
    texts = list_texts(folder)
    assert texts == {"compose.yaml": "2", ".env": "A=mine\n", "notes/mine.txt": "mine"}
    assert [each.name for each in tmp_path.iterdir()] == ["deploy"]
    (folder / "compose.yaml").write_text("2, and a change")
    with pytest.raises(Problem, match=r"compose.yaml in .* was changed after the export"):
        export.check(folder, tmp_path)


def test_an_export_takes_no_folder_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("mine")
    for folder, message in (
        (tmp_path / "docs", "holds something else"),
        (tmp_path, "is not inside the application's folder"),
        (tmp_path.parent / "deploy", "is not inside the application's folder"),
        (tmp_path / "docs/page.md", "holds something else"),
    ):
        with pytest.raises(Problem, match=message):
            export.check(folder, tmp_path)
    assert (tmp_path / "docs/page.md").read_text() == "mine"


WRITE = """
import sys, pathlib
from stack import export
print("begins", flush=True)
export.write(pathlib.Path(sys.argv[1]), {f"part/{number}": "new" for number in range(200)} | {"compose.yaml": "new"})
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_export_leaves_the_old_folder_or_the_new_one(tmp_path: Path, kind: signal.Signals) -> None:
    folder, pauses = tmp_path / "deploy", random.Random(11)  # noqa: S311 - moments
    seen = set()
    for _ in range(6):
        export.write(folder, {f"part/{number}": "old" for number in range(200)} | {"compose.yaml": "old"})
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout and process.stdout.readline() == b"begins\n"
        time.sleep(pauses.uniform(0, 0.06))
        process.send_signal(kind)
        process.wait()
        process.stdout.close()
        export.restore(folder)
        texts = list_texts(folder)
        assert len(texts) == 201 and len(set(texts.values())) == 1, "a mixture"
        seen.add(texts["compose.yaml"])
        left = [each.name for each in tmp_path.iterdir() if each.name != "deploy"]
        assert kind == signal.SIGKILL or not left
    assert "old" in seen, "no signal came in time"


@pytest.mark.deployments
def test_what_no_image_needs_is_not_sent_to_the_builder(tmp_path: Path) -> None:
    """BuildKit itself reads the lines. (!) An exception such as !**/x would make it walk through all of .venv."""
    project = tmp_path / "shop"
    for name in (
        ".venv/big",
        "src/.git/HEAD",
        "src/main.py",
        "mine.txt",
        "deploy/apps/Dockerfile",
        "deploy/.env",
        ".env",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    (project / "deploy" / own_app.EXPORTED).touch()
    (project / ".dockerignore").write_text("mine.txt\ndeploy\n")
    common = {"src/main.py", ".dockerignore"}
    for kept, expected in (((), common), (("apps",), common | {"deploy/apps/Dockerfile"})):
        build = tmp_path / f"build{len(kept)}"
        build.mkdir()
        (build / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        lines = own_app.list_ignored(project, "deploy" if kept else "", kept)
        (build / "Dockerfile.dockerignore").write_text(lines)
        command = [
            "docker",
            "buildx",
            "build",
            "--file",
            str(build / "Dockerfile"),
            "--output",
            str(build / "out"),
            str(project),
        ]
        subprocess.run(command, check=True, capture_output=True)
        out = build / "out"
        assert {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()} == expected


@pytest.mark.parametrize(
    ("proxy", "server", "interface"),
    [
        ("apache", "mod_wsgi", "wsgi"),
        ("haproxy", "hypercorn", "asgi"),
        ("traefik", "tornado", "wsgi"),
        ("apache", "gunicorn-uvicorn", "asgi"),
        ("haproxy", "uvicorn", "wsgi"),
        ("traefik", "daphne", "asgi"),
        ("nginx", "wsgiref", "wsgi"),
    ],
)
def test_every_proxy_and_server_can_be_exported(tmp_path: Path, proxy: str, server: str, interface: str) -> None:
    choice = {"SERVER": server, "INTERFACE": interface, "PROXY": proxy, "APP_DIR": str(tmp_path), "APP": "shop:app"}
    folder = tmp_path / "deploy"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (own_environment("export-any") | choice | {"COMPOSE_ENV_FILES": "/dev/null"}).items():
            patch.setenv(name, value)
        deployment = Deployment(settings.read(os.environ), os.environ, folder)
    names = sorted(deployment.list_copies())
    texts = {name: read(name) for name in names} | {"apps/Dockerfile": deployment.make_dockerfile()}
    assert {f"{proxy}/start.sh", f"apps/servers/{interface}/{server}.sh", f"apps/runtime/{interface}.py"} <= {*names}
    modules = set(re.findall(r"app_runtime[./](\w+)", "\n".join([*texts.values(), deployment.compose])))
    assert {f"apps/runtime/{name}.py" for name in modules - {"asgi", "wsgi"}} <= {*names}
    assert not find_foreign(texts)
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", texts["apps/Dockerfile"], re.MULTILINE))
    used = re.findall(r"--from=(\S+)", texts["apps/Dockerfile"])
    assert {*used} <= stages and "demonstration" not in stages and ("mod_wsgi" in stages) == (server == "mod_wsgi")
    folder.mkdir()
    (folder / "compose.yaml").write_text(deployment.compose)
    command = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() - {"acme"} == {"app", "certs", proxy}
