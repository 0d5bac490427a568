"""What hosts differ in: engines and users, .env files, registries, base images, kernels, closed pipes."""

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack import ROOT, Problem, build, dotenv, engine, images, install, ports, settings
from stack.certificates import read_served, reload_proxies
from stack.compose import Compose
from stack.ports import list_sites
from stack.waiting import wait_until
from tests.support.engine import client, run_once
from tests.support.stack import IMAGES, PROXIES, StackUnderTest
from tools import lock

DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))


def write_program(folder: Path, name: str, script: str) -> None:
    """A program that takes the place of another one in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


# --- Engines and users ---

REFUSED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("error", "variables", "advice"),
    [
        (REFUSED, {}, "run `sudo usermod -aG docker $USER`, and log in again"),
        (DOWN, {}, "start Docker if it is installed (`sudo systemctl start docker`, or Docker Desktop)"),
        (DOWN, {"XDG_RUNTIME_DIR": "rootless"}, "one without root is there: set DOCKER_HOST=unix://"),
        (DOWN, {"DOCKER_HOST": "tcp://192.0.2.1:2375"}, "no Docker engine answers at tcp://192.0.2.1:2375"),
    ],
    ids=["no permission", "down", "rootless", "DOCKER_HOST"],
)
@pytest.mark.parametrize("command", [engine.check, install.main])
def test_an_engine_that_does_not_answer_gets_the_right_advice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[], None],
    error: str,
    variables: dict[str, str],
    advice: str,
) -> None:
    write_program(
        tmp_path,
        "docker",
        f"case $1 in compose) echo 2.40.3;; buildx) echo x 0.29.1;; context) echo {engine.DEFAULT_SOCKET};; "
        f'*) echo "{error}" >&2; exit 1;; esac',
    )
    (tmp_path / "rootless").mkdir()
    (tmp_path / "rootless/docker.sock").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value) if name == "XDG_RUNTIME_DIR" else value)
    with pytest.raises(Problem) as problem:
        command()
    assert advice in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("user", "groups", "advice"),
    [("", "", ""), ("ana", "ana docker", ""), ("ana", "ana users", "usermod -aG docker ana, and a new login")],
)
def test_make_engine_under_sudo_says_what_the_user_still_needs(
    monkeypatch: pytest.MonkeyPatch, user: str, groups: str, advice: str
) -> None:
    monkeypatch.setenv("SUDO_USER", user)
    monkeypatch.setattr(engine, "output", lambda *command: groups)
    assert install.describe_group().endswith(advice) and bool(install.describe_group()) == bool(advice)


@pytest.mark.parametrize(
    ("compose", "is_old"), [("2.23.3", True), ("v1.29.2", True), ("2.24.0", False), ("v5.0", False)]
)
def test_a_compose_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compose: str, is_old: bool
) -> None:
    write_program(
        tmp_path, "docker", f"case $1 in compose) echo {compose};; buildx) echo x 0.29.1;; *) echo 28.0;; esac"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = [f"Docker Compose 2.24 or later (here is {compose})"] if is_old else []
    assert engine.find_missing() == expected


def test_a_kernel_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    riddle = "runc create failed: open /proc/sys/net/ipv4/tcp_migrate_req: no such file or directory"
    write_program(tmp_path, "docker", f"echo 'Error response from daemon: {riddle}' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Problem, match=r"the kernel is older than Linux 5\.14"):
        Compose().run("up")


def test_a_port_that_clients_get_from_the_kernel_is_named() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert f"{first}-{last}" in ports.describe_client_range(first)
    assert ports.describe_client_range(first - 1) == ports.describe_client_range(last + 1) == ""


@pytest.mark.parametrize("bind", ["::1", "::"])
def test_ipv6_is_refused_where_docker_hides_the_clients(bind: str) -> None:
    compose = Compose({"IMAGES": IMAGES})
    with pytest.raises(Problem, match=f"BIND={bind} is an IPv6 address"):
        settings.check_ipv6({"BIND": bind}, compose)
    compose.config["networks"]["edge"]["enable_ipv6"] = True
    settings.check_ipv6({"BIND": bind}, compose)


def test_a_reader_that_goes_away_ends_nothing_half_way() -> None:
    script = (
        "from stack import progress\nwith progress.step('a step'): pass\nprogress.show('a log'); print('all of it')"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=writing, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "all of it\n")
        command = [sys.executable, "-m", "stack", "ps"]
        done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
        assert done.stderr == ""
    finally:
        os.close(writing)


# --- .env ---

DOTENV = """# a comment
SERVER="uvicorn"   # not yet
export APP=flask
WORKERS: 3
DOMAIN='shop.example
www.shop.example'
ADMIN_USER=${SERVER}-admin
ADMIN_PASSWORD_HASH='$2a$10$abc'
POSTGRES_PASSWORD=a#b $$c
HEALTH_PATH=${NOWHERE:-/ready}
"""


def test_dotenv_is_read_by_composes_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dotenv, "ROOT", tmp_path)
    dotenv.list_settings.cache_clear()
    (tmp_path / ".env").write_text(DOTENV)
    environ = {**os.environ, "WORKERS": "5", "MULTI": "a\nSERVER=granian"}
    read = dotenv.overlay(environ)
    expected = {
        "SERVER": "uvicorn",
        "APP": "flask",
        "WORKERS": "5",
        "DOMAIN": "shop.example\nwww.shop.example",
        "ADMIN_USER": "uvicorn-admin",
        "ADMIN_PASSWORD_HASH": "$2a$10$abc",
        "POSTGRES_PASSWORD": "a#b $c",
        "HEALTH_PATH": "/ready",
    }
    assert {name: read.get(name) for name in expected} == expected
    assert "WORKERS" not in dotenv.overlay({**environ, "WORKERS": ""}), "Compose takes an empty variable, too"
    (tmp_path / ".env").write_text("TWO WORDS=1\n")
    with pytest.raises(Problem, match=r"^\.env cannot be read: .*line 1: [^\n]+$"):
        dotenv.overlay(environ)
    dotenv.list_settings.cache_clear()


# --- Registries and base images ---


@contextmanager
def serve_registry(status: int) -> Iterator[str]:
    """A registry of this machine that answers every request for an image with one status; its address."""

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v2/" else status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            """Nothing is logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("status", [404, 429, 401])
def test_what_a_registry_refuses_is_an_error_and_no_reason_for_a_stand_in(status: int) -> None:
    with serve_registry(status) as address, pytest.raises(Problem) as problem:
        images.pull(f"{address}/ngnix:1.30")
    assert f"{address}/ngnix:1.30 cannot be pulled: " in str(problem.value)


def test_a_registry_that_is_not_reached_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "connection refused" in images.pull(f"127.0.0.1:{unused.getsockname()[1]}/nginx:1.30")


def test_make_images_pulls_anew_and_refuses_stand_ins_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[str] = []
    reason = "dial tcp: lookup registry: no such host"

    def pull(image: str) -> str:
        pulled.append(image)
        return reason

    monkeypatch.setattr(images, "pull", pull)
    monkeypatch.setattr(images, "read_ids", lambda names: dict.fromkeys(names, "sha256:1"))
    monkeypatch.setattr(images, "exists", lambda image: True)
    monkeypatch.setattr(dotenv, "overlay", lambda environ: {"NGINX_IMAGE": "mirror.example/nginx:1.30"})
    official = images.read_official()
    assert images.ensure(["nginx"]) == {"PYTHON_IMAGE": official["python"], "NGINX_IMAGE": "mirror.example/nginx:1.30"}
    assert pulled == []
    images.ensure(["nginx", "caddy"], anew=True)
    assert pulled == [official["python"], "mirror.example/nginx:1.30"], "each registry is asked, a silent one once"
    monkeypatch.setattr(images, "read_ids", lambda names: {})
    monkeypatch.setattr(images, "exists", lambda image: False)
    with pytest.raises(Problem, match=r"NGINX_IMAGE=mirror\.example/nginx:1\.30 cannot be pulled: "):
        images.ensure(["nginx"], anew=True)
    monkeypatch.setattr(dotenv, "overlay", lambda environ: {"STAND_INS": "no"})
    with pytest.raises(Problem, match=f"STAND_INS=no refuses a stand-in: {reason}"):
        images.ensure(["nginx"])


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("docker.io/shop-app", "shop-app:latest"),
        ("docker.io/library/nginx:1.30", "nginx:1.30"),
        ("registry.example:5000/shop", "registry.example:5000/shop:latest"),
        ("python:3.14@sha256:12", "python@sha256:12"),
    ],
)
def test_an_image_is_known_under_every_spelling_of_its_name(name: str, listed: str) -> None:
    assert images.with_tag(name) == listed


def read_floor(part: str) -> tuple[str, str, str]:
    """The command of a Dockerfile that refuses an old release, the program that it asks, and the floor."""
    text = (ROOT / part / "Dockerfile").read_text().replace("\\\n", "")
    checks = re.findall(r"^RUN (floor=([\d.]+); release=\$\((\w+).*)$", text, re.MULTILINE)
    assert len(checks) == 1, part
    command, floor, program = checks[0]
    return command, program, floor


@pytest.mark.parametrize("part", [*PROXIES, "postgres"])
def test_a_base_image_below_its_floor_is_refused(part: str, tmp_path: Path) -> None:
    command, program, floor = read_floor(part)
    numbers = [int(number) for number in floor.split(".")]
    last = max(place for place, number in enumerate(numbers) if number)
    below = ".".join(map(str, [*numbers[:last], numbers[last] - 1, 99]))
    for release, is_old in ((below, True), (floor, False), (f"{floor}.1", False)):
        write_program(tmp_path, program, f"echo '{part} version: {part}/v{release} (Debian) 2026-01-01'")
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == is_old, (release, done.stderr)
        if is_old:
            assert done.stderr == f"{part} {release} is too old: this configuration needs {floor} or later\n"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_no_image_takes_the_modes_of_the_clone(dockerfile: Path) -> None:
    """What the build's own stages copy is read by root. The last stage has another user."""
    last = dockerfile.read_text().rpartition("\nFROM ")[2]
    if "\nUSER " in last:
        copies = re.findall(r"^COPY (?!--from)(.*)$", last, re.MULTILINE)
        assert copies and [copy for copy in copies if not copy.startswith("--chmod=")] == []


def test_no_registry_is_asked_for_what_is_built_here() -> None:
    config = Compose({"IMAGES": "shop", "TAG": "v1", "CERTS": "/srv/certs"}).config
    for name, service in config["services"].items():
        assert service["pull_policy"] == "never", name
        assert re.fullmatch(r"shop-[a-z_]+:v1", service["image"])
        for volume in service.get("volumes", []):
            if volume["target"] == "/certs" and name != "acme":  # which writes the stack's own volume
                assert volume["bind"]["selinux"] == "z", name


# --- Builds, logs and locks ---

LOG = """#5 [app 3/4] RUN python3 -m compileall -q /srv/apps
#6 [nginx 2/3] COPY snippets /etc
#6 CANCELED
#5 0.8 {}
#5 ERROR: executor failed running [/bin/sh -c …]: exit code: 1
------
failed to solve: executor failed running [/bin/sh -c …]: exit code: 1
"""


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (
            ['  File "/srv/apps/asgi/shop.py", line 3', "    x = = 1", "SyntaxError: invalid syntax"],
            "apps/asgi/shop.py, line 3: SyntaxError: invalid syntax",
        ),
        (["Collecting shop", "ERROR: No matching distribution found for shop", "a notice"],
         "ERROR: No matching distribution found for shop"),
        (["caddy 2.11.4 is too old: this configuration needs 2.11.7 or later"],
         "caddy 2.11.4 is too old: this configuration needs 2.11.7 or later"),
    ],
    ids=["syntax", "pip", "floor"],
)  # fmt: skip
def test_a_build_that_fails_shows_the_words_of_its_step(printed: list[str], reason: str) -> None:
    text = LOG.replace("{}", "\n#5 0.8 ".join(printed))
    lines = build.read_failed_step(text)
    assert lines == printed
    assert build.summarize(lines) == reason
    assert build.find_failed(text, ["app", "nginx"]) == ["app"]


def test_a_log_is_shown_whatever_bytes_it_has(stack: StackUnderTest) -> None:
    script = r"import sys; sys.stderr.buffer.write(b'caf\xe9: no such table\n'); sys.exit(3)"
    container = client().containers.create(f"{IMAGES}-app", ["python3", "-c", script], network_mode="none")
    try:
        container.start()
        container.wait()
        assert "no such table" in stack.compose.logs(container.id)
    finally:
        container.remove(force=True)


def test_make_lock_takes_the_first_python_that_the_applications_pins_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    (tmp_path / ".venv").mkdir()
    error = "Because the requested Python version (>=3.11) does not\n  satisfy Python>=3.12 and django==6.0 …"
    script = (
        f'case "$*" in *dev.in*3.1[12]) echo "{error}" >&2; exit 1;; *wrong*) echo "no such package" >&2; exit 1;; esac'
    )
    write_program(tmp_path / ".venv/bin", "uv", script)
    assert lock.pin("app", lock.IMAGE) == "3.14"
    assert lock.pin("lock", lock.HOST) == "3.11"
    assert lock.pin("dev", lock.HOST) == "3.13"
    with pytest.raises(Problem, match=r"requirements/wrong\.in cannot be pinned"):
        lock.pin("wrong", lock.HOST)
    assert capsys.readouterr().err == "no such package\n"


def test_the_help_needs_no_gnu_tools() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nhelp:")[2].partition("\n\n")[0]
    assert "awk -F" in recipe and not re.search(r"\b(sed|expand|grep -P)\b", recipe)


# --- Certificates ---


def renew(stack: StackUnderTest) -> None:
    """Lets the local authority sign a new certificate."""
    volume = {f"{stack.compose.project}_certs": {"bind": "/certs", "mode": "rw"}}
    run_once(f"{IMAGES}-certs", "rm", "/certs/names", network_mode="none", volumes=volume)
    stack.make_certificates()


@pytest.mark.usefixtures("any_app")
def test_every_proxy_takes_a_renewed_certificate(stack: StackUnderTest) -> None:
    sites = [port for port in list_sites(stack.compose) if port.service in stack.proxies]
    reload_proxies(stack.compose)
    assert reload_proxies(stack.compose) == [], "no proxy is signalled without need"
    before = {read_served(stack.compose, port) for port in sites}
    renew(stack)
    assert set(reload_proxies(stack.compose)) <= set(stack.proxies)  # a proxy may have taken the certificate by itself
    after = {read_served(stack.compose, port) for port in sites}
    assert len(after) == 1 and after != before
    assert all(stack.get(proxy, "/ready").status_code == 200 for proxy in stack.proxies)


@pytest.mark.usefixtures("any_app")
def test_every_proxy_notices_a_renewed_certificate(stack: StackUnderTest) -> None:
    sites = [port for port in list_sites(stack.compose) if port.service in stack.proxies]
    before = {read_served(stack.compose, port) for port in sites}
    renew(stack)
    assert wait_until(lambda: not before & {read_served(stack.compose, port) for port in sites}, 10)
