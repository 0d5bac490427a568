"""An application of the user's own, with what goes wrong at the edges: folders, secrets, commands, log lines, names."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.runtime import dependencies, load, log_request_id, processes
from stack import ROOT, Problem, engine, own_app
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.checkout import Checkout
from tests.support.stack import IMAGES

FOLDERS = {
    "STATIC_DIR": [".", "/", "//", "/app", "/app/", "src", "/srv/static", "/proc/self", "/tmp/public"],
    "MEDIA_DIR": ["/", "/app", "/app/src", "/venv", "/srv/media", "/lib", "/data", "/data/"],
    "APP_DATA": ["/app", "/app/.", "/tmp", "/etc/app"],
}
GOOD_FOLDERS = {
    "STATIC_DIR": ["public", "./public", "/app/public", "/venv/lib/python3.14/site-packages/shop/static", "src/public"],
    "MEDIA_DIR": ["/app/media", "/media", "/var/lib/shop", "/data/media"],
    "APP_DATA": ["/app/data", "/data", "/srvdata"],
}


@pytest.mark.parametrize(("name", "folder"), [(name, folder) for name in FOLDERS for folder in FOLDERS[name]])
def test_a_folder_with_the_code_is_refused(name: str, folder: str) -> None:
    with pytest.raises(Problem, match=f"^{name}={folder} "):
        own_app.check_folders({name: folder})


@pytest.mark.parametrize(("name", "folder"), [(name, folder) for name in GOOD_FOLDERS for folder in GOOD_FOLDERS[name]])
def test_a_folder_beside_the_code_is_taken(name: str, folder: str) -> None:
    own_app.check_folders({name: folder})


def test_the_variables_stay_out_of_the_image_wherever_their_file_is(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    (project / "config").mkdir(parents=True)
    (file := project / "config/production.env").write_text("SECRET_KEY=1\n")
    lines = own_app.list_ignored(project, variables=tmp_path / "other" / ".." / "shop/config" / file.name).splitlines()
    assert "config/production.env" in lines
    assert ROOT.relative_to(ROOT.parent).as_posix() in own_app.list_ignored(ROOT.parent).splitlines()


COMMANDS = {
    "a & b": ["a", "b"],
    "cd x && A=1 b 2>&1 & c": ["cd x && A=1 b 2>&1", "c"],
    """c --url "r://?a=1&b=2" & d 'e & f'""": ["""c --url "r://?a=1&b=2\"""", "d 'e & f'"],
    " & a &": ["a"],
}


@pytest.mark.parametrize("text", COMMANDS)
def test_commands_are_separated_as_a_shell_does(text: str) -> None:
    assert processes.split(text) == COMMANDS[text]


def test_a_command_of_a_shell_ends_before_its_container_does(tmp_path: Path) -> None:
    """The shell of `cd … && …` ends at once at SIGTERM; what it has started takes a moment longer."""
    worker = (
        "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), open('ended', 'w'), sys.exit(0)))"
    )
    (tmp_path / "worker.py").write_text(f"{worker}\nopen('began', 'w')\nwhile True: time.sleep(0.1)\n")
    text = f"cd {tmp_path} && NAME=1 {sys.executable} worker.py && true"
    command = [sys.executable, "-m", "apps.runtime.processes"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "APP_PROCESSES": text}) as running:
        for _ in range(200):
            if (tmp_path / "began").exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(0.05)
        running.terminate()
        assert running.wait(20) == 0
    assert (tmp_path / "ended").exists()


def test_an_application_may_give_its_lines_an_id_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log_request_id.install()
    token = log_request_id.current.set("id-7")
    try:
        logging.getLogger("tests.edges").warning("sold", extra={"request_id": "own"})
    finally:
        log_request_id.current.reset(token)
    assert [record.request_id for record in caplog.records] == ["own"]  # type: ignore[attr-defined]


LINES = {
    '{"request_id":"own"}': '{"request_id":"own","proxy_request_id":"id-7"}',
    "{'a': 1}": "{'a': 1} request_id=id-7",
    "{}": '{"request_id":"id-7"}',
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_json_stays_json(line: str) -> None:
    assert log_request_id.add_id(line, "id-7") == LINES[line]


FACTORIES = {
    "odd:create": "APP=odd:create is called without arguments: a factory is APP=odd:create()",
    "odd:nothing()": "APP=odd:nothing(): nothing() returns NoneType, which is no application",
    "odd:later()": "APP=odd:later(): later() returns coroutine, which is no application",
}


@pytest.mark.parametrize("app", FACTORIES)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_factory_that_makes_no_application_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str
) -> None:
    (tmp_path / "odd.py").write_text(
        "def create(): return lambda environ, start_response: []\n"
        "def nothing(): pass\n"
        "async def later(): return create()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("APP", app)
    monkeypatch.delenv("INTERFACE", raising=False)
    with pytest.raises(load.LoadError) as refused:
        load.check()
    assert str(refused.value) == FACTORIES[app]


LOCK = f"""idna==3.10 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
granian==2.8.7 \\
    --hash=sha256:{"c" * 64}
"""
PINNED = f"Idna==3.10 \\\n    --hash=sha256:{'b' * 64}\n"


def test_a_file_with_another_hash_than_the_lock_is_refused() -> None:
    """The server's packages are not in the project's lock, and keep the index's hashes."""
    kept = dependencies.keep_hashes(LOCK, dependencies.read_hashes(PINNED))
    assert kept == LOCK.replace(f"    --hash=sha256:{'a' * 64} \\\n", "")
    with pytest.raises(SystemExit, match=r"idna==3\.10: no file of the index has a hash that the project names"):
        dependencies.keep_hashes(LOCK, dependencies.read_hashes(PINNED.replace("b", "d")))
    assert dependencies.keep_hashes(LOCK, dependencies.read_hashes(PINNED.replace("3.10", "3.9"))) == LOCK


def collect(project: Path, **files: str) -> Path:
    """The files that name the packages of a project."""
    (project / "shop").mkdir()
    for name, text in files.items():
        (project / "shop" / name).write_text(text)
    dependencies.collect(project / "shop", project / "packages", project / "shop")
    return project / "packages"


def test_requirements_may_name_the_project_itself(tmp_path: Path) -> None:
    data = (
        '[project]\nname = "shop"\nversion = "1"\ndependencies = ["idna"]\noptional-dependencies.db = ["psycopg>=3"]\n'
    )
    text = "-e .[db]  # this\nsniffio\n./a.txt\n"
    packages = collect(tmp_path, **{"pyproject.toml": data, "requirements.txt": text})
    assert (packages / "sources").read_text().split() == ["requirements.txt", "pyproject.toml"]
    assert (packages / "requirements.txt").read_text().split() == ["sniffio", "./a.txt", "psycopg>=3"]


def test_the_index_of_a_requirements_file_is_asked_for_the_files_too(tmp_path: Path) -> None:
    text = "--extra-index-url https://user:word@packages.example/simple\n-i https://mirror.example\nsniffio\n"
    packages = collect(tmp_path, **{"requirements.txt": text})
    words = ["--extra-index-url", "https://user:word@packages.example/simple", "-i", "https://mirror.example"]
    assert (packages / dependencies.INDEXES).read_text().splitlines() == words


def test_the_hashes_of_a_lock_are_noted(tmp_path: Path) -> None:
    package = f'name = "idna"\nversion = "3.10"\nsdist = {{ url = "https://x", hash = "sha256:{"a" * 64}" }}\n'
    lock = f'[[package]]\n{package}source = {{ registry = "https://x/simple" }}\n'
    data = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["idna"]\n'
    packages = collect(tmp_path, **{"pyproject.toml": data, "uv.lock": lock})
    assert json.loads((packages / dependencies.HASHES).read_text()) == {"idna==3.10": ["a" * 64]}


def list_once(checkout: Checkout) -> list[str]:
    """The containers of commands that run once, whether they run or not."""
    filters = [f"label={LABEL}.project={checkout.project}", f"label={LABEL}.oneoff=True", f"label={LABEL}.service=app"]
    words = [word for text in filters for word in ("--filter", text)]
    return (engine.output("docker", "ps", "--all", "--quiet", *words) or "").split()


def test_an_interruption_stops_the_release_command(checkout: Checkout) -> None:
    assert checkout.make("up", "PROXY=nginx").returncode == 0
    before = checkout.containers("app")
    process = checkout.start_make("up", "PROXY=nginx", "SERVER=uvicorn", "APP_RELEASE=sleep 100")
    assert wait_until(lambda: bool(list_once(checkout)), 60), "it did not begin"
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode != 0 and "interrupted" in output
    assert list_once(checkout) == [] and checkout.containers("app") == before


def test_a_module_of_the_project_does_not_shadow_those_of_the_health_check() -> None:
    """A project may have an email.py; http.client imports `email`."""
    check = engine.output("docker", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", f"{IMAGES}-app") or "[]"
    script = 'mkdir /tmp/path && touch /tmp/path/email.py && export PYTHONPATH=/tmp/path && exec "$@"'
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", f"{IMAGES}-app", "-c", script, "sh"]
    done = engine.run(*command, *json.loads(check)[1:])
    assert "ConnectionRefusedError" in done.stderr
