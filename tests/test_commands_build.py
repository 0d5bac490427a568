"""How the images are built: what is shown of it, and when an image is out of date."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stack import fingerprint, images, progress, stand_ins
from stack.compose import Compose
from tests.support.checkout import OWN_IMAGES, Checkout
from tests.support.engine import client, exec_in, inspect


def test_a_build_that_fails_names_the_image_and_shows_the_words_of_its_step(checkout: Checkout) -> None:
    dockerfile = checkout.folder / "nginx/Dockerfile"
    original = dockerfile.read_text()
    try:
        dockerfile.write_text(original + "RUN echo the reason && false\n")
        done = checkout.make("up", "PROXY=nginx")
    finally:
        dockerfile.write_text(original)
    assert done.returncode != 0 and done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert re.fullmatch(r"images: building .*nginx \(log: \.cache/build-app\.log\) … failed after [\d.]+ s", lines[0])
    assert lines[1:-1] == ["the reason"]
    assert lines[-1] == "up: the image of nginx cannot be built: the reason"
    assert "the reason" in (checkout.folder / ".cache/build-app.log").read_text()
    assert checkout.left() == []


def make_private(folder: Path) -> None:
    """What a clone under umask 077 has. With other modes in requirements/, a build would install every package."""
    for path in [folder, *folder.rglob("*")]:
        if "requirements" not in path.parts and path.is_relative_to(folder):
            path.chmod(path.stat().st_mode & 0o700)


def set_proxy_of_company(folder: Path) -> None:
    """A configuration of Docker with `proxies.default`, which leads to nobody."""
    plugins = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "cli-plugins"
    if plugins.is_dir():
        shutil.copytree(plugins, folder / "cli-plugins", symlinks=True)
    proxies = {"httpProxy": "http://192.0.2.1:3128", "httpsProxy": "http://192.0.2.1:3128"}
    (folder / "config.json").write_text(json.dumps({"proxies": {"default": proxies}}))


def test_a_private_clone_behind_a_companys_proxy_answers(checkout: Checkout, tmp_path: Path) -> None:
    make_private(checkout.folder)
    set_proxy_of_company(tmp_path)
    (checkout.folder / ".env").write_text("SERVER='granian'  # quoted\nPROXY=caddy,traefik\n")
    try:
        done = checkout.make("up", DOCKER_CONFIG=str(tmp_path))
        assert done.returncode == 0, done.stderr  # `make up` has asked the application through both
        stand_in = re.search(r"^  app .*\(stack-base:python\)$", done.stdout, re.MULTILINE)
        assert bool(stand_in) == (images.find_present(["python"])["PYTHON_IMAGE"] == stand_ins.tag("python"))
        variables = inspect(checkout.container("traefik"))["Config"]["Env"]
        assert "HTTP_PROXY=http://192.0.2.1:3128" in variables, "the configuration had no effect"
        assert exec_in(checkout.container("caddy"), "cat", "/srv/static/hello.txt")
        trust = subprocess.run(
            ["sh", "-c", f"{shlex.join(checkout.make_command())} trust | head -n 1"],
            cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert trust.stdout.startswith("Wrote ca.pem") and len(trust.stdout.splitlines()) == 1
        assert "Traceback" not in trust.stderr and "BrokenPipe" not in trust.stderr
    finally:
        (checkout.folder / ".env").unlink()


def test_a_release_is_built_once(checkout: Checkout) -> None:
    compose = Compose(checkout.environment | {"TAG": "v41"})
    dockerfile = checkout.folder / "certs/Dockerfile"
    original = dockerfile.read_text()
    script = "from stack import build, compose, images; build.build(compose.Compose(images.ensure([])), [])"
    command, environment = [sys.executable, "-c", script], checkout.environment | {"TAG": "v41"}
    tag = compose.services["certs"]["image"]
    assert tag == f"{OWN_IMAGES}-certs:v41"
    try:
        for _ in range(2):
            done = subprocess.run(
                command, cwd=checkout.folder, env=environment, capture_output=True, text=True, check=True
            )
        assert done.stderr == "", "nothing has changed"
        first = client().images.get(tag).id
        dockerfile.write_text(original + "LABEL changed=yes\n")
        done = subprocess.run(command, cwd=checkout.folder, env=environment, capture_output=True, text=True, check=True)
        assert f"images: {tag} is a release that is there already, and stays as it is\n" in done.stderr
        assert client().images.get(tag).id == first
    finally:
        dockerfile.write_text(original)


def make_context(folder: Path) -> dict[str, Any]:
    """A service whose image copies two files."""
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY . /\n")
    (folder / "start.sh").write_text("exec true\n")
    (folder / "conf").mkdir(0o755)
    (folder / "__pycache__").mkdir()
    return {"build": {"context": str(folder), "dockerfile": "Dockerfile", "args": {"BASE_IMAGE": "debian"}}}


@pytest.mark.parametrize(
    "change",
    ["content", "mode", "mode of a folder", "name", "new file", "new folder", "Dockerfile", "argument", "base image"],
)
def test_an_image_is_out_of_date_when_something_that_it_is_built_from_changes(tmp_path: Path, change: str) -> None:
    service, base_ids = make_context(tmp_path / "context"), {"debian": "sha256:1"}
    before = fingerprint.compute(service, base_ids)
    assert fingerprint.compute(service, base_ids) == before
    script = tmp_path / "context/start.sh"
    match change:
        case "content":
            script.write_text("exec false\n")
        case "mode":
            script.chmod(0o755)
        case "mode of a folder":  # a folder that the image's user may not read
            (tmp_path / "context/conf").chmod(0o700)
        case "new folder":
            (tmp_path / "context/new").mkdir()
        case "name":
            script.rename(script.with_name("begin.sh"))
        case "new file":
            script.with_name("new.conf").write_text("")
        case "Dockerfile":
            script.with_name("Dockerfile").write_text("FROM scratch\n")
        case "argument":
            service["build"]["args"]["VERSION"] = "2"
        case "base image":
            base_ids["debian"] = "sha256:2"
    assert fingerprint.compute(service, base_ids) != before


@pytest.mark.parametrize("chosen", ["!start.sh", "!/start.sh", "!*.sh", "! start.sh"])
def test_dockerignore_chooses_what_counts(tmp_path: Path, chosen: str) -> None:
    service, base_ids = make_context(tmp_path / "context"), {"debian": "sha256:1"}
    ignore = tmp_path / "context/.dockerignore"
    ignore.write_text(f"*\n{chosen}\n")
    before = fingerprint.compute(service, base_ids)
    (tmp_path / "context/other").write_text("not copied")
    assert fingerprint.compute(service, base_ids) == before
    (tmp_path / "context/start.sh").write_text("exec false\n")
    changed = fingerprint.compute(service, base_ids)
    assert changed != before
    ignore.write_text(f"*\n{chosen}\nstart.sh\n")
    assert fingerprint.compute(service, base_ids) != changed


def test_an_image_is_up_to_date_while_it_is_the_one_that_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "FOLDER", tmp_path / "images")
    service = make_context(tmp_path / "context")
    base_ids = {"debian": "sha256:1"}
    inputs = fingerprint.compute(service, base_ids)
    (tmp_path / "context/__pycache__/cached.pyc").write_text("")
    assert fingerprint.compute(service, base_ids) == inputs, "a cached file is not copied"
    assert not fingerprint.is_up_to_date("site-nginx", "sha256:1", inputs)
    fingerprint.write("site-nginx", "sha256:1", inputs)
    assert fingerprint.is_up_to_date("site-nginx", "sha256:1", inputs)
    assert not fingerprint.is_up_to_date("site-nginx", "sha256:2", inputs), "another build took the name"
    assert not fingerprint.is_up_to_date("site-nginx", "sha256:1", "other inputs")
    unknown = fingerprint.compute(service, {})
    fingerprint.write("site-nginx", "sha256:1", unknown)
    assert not fingerprint.is_up_to_date("site-nginx", "sha256:1", unknown), "the base image may have a new release"


def show_and_fail() -> None:
    progress.show("its log")
    raise KeyError


def test_a_step_is_one_line_with_its_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("up: starting nginx"):
        assert capsys.readouterr().err == "up: starting nginx … "
    assert capsys.readouterr().err == "0.0 s\n"
    with pytest.raises(KeyError), progress.step("up: starting nginx"):
        show_and_fail()
    assert capsys.readouterr().err == "up: starting nginx … \nits log\nup: starting nginx … failed after 0.0 s\n"


def test_a_terminal_shows_the_time_passing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.05)
    with progress.step("up: starting nginx"):
        time.sleep(0.3)
    written = capsys.readouterr().err
    assert written.count("\r") >= 2 and written.count("\n") == 1
    assert re.fullmatch(r"up: starting nginx … \d\.\d s", written.rstrip("\n").rpartition("\r")[2])
