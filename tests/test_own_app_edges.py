"""An application of the user's own, with what goes wrong at the edges: folders, secrets, commands, log lines, names."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.runtime import load, log_request_id, processes
from stack import ROOT, Problem, own_app

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
