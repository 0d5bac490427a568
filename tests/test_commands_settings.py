"""The make commands refuse what is wrong with one clear line, and change nothing."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack import ROOT, Problem, engine, install
from tests.support.checkout import Checkout, complaint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("SERVER=nope", "SERVER=nope is not a server here: choose daphne, granian, gunicorn"),
        ("SERVER=../granian", "is not a server here"),
        ("INTERFACE=cgi", "INTERFACE=cgi is not an interface: choose asgi, wsgi"),
        ("SERVER=wsgiref INTERFACE=asgi", "INTERFACE=asgi is not one that wsgiref serves here: choose wsgi"),
        ("APP=nope", "APP=nope is not an application for granian here: choose bare, blacksheep, bottle, django,"),
        ("APP=flask INTERFACE=asgi", "APP=flask is not an asgi application here: choose bare, blacksheep, django,"),
        ("WORKERS=0", "WORKERS=0 is not a number that can be used: give a whole number from 1 to 256"),
        ("WORKERS=abc", "WORKERS=abc is not a number that can be used: give a whole number from 1 to 256"),
        ("WORKERS=-1", "WORKERS=-1 is not"),
        ("WORKERS=1.5", "WORKERS=1.5 is not"),
        ("THREADS=none", "THREADS=none is not"),
        ("KEEPALIVE=90", "KEEPALIVE=90 is not a number that can be used: give a whole number from 16 to 60"),
        ("KEEPALIVE=5", "KEEPALIVE=5 is not a number that can be used: give a whole number from 16 to 60"),
        ("GRACE=30", "GRACE=30 is not under the 30 s after which Docker kills"),
        ("SEVER=uvicorn", "SEVER is not a setting: did you mean SERVER?"),
        ("HEALTH_PATH=ready", "HEALTH_PATH=ready is not a path: begin it with /"),
        ("DOMAIN=bad_name!", "DOMAIN holds bad_name!, which is not a host name"),
        ("NGINX_HTTPS_PORT=99999", "NGINX_HTTPS_PORT=99999 is not a port: give a number from 1 to 65535"),
        ("BIND=192.0.2.1", "BIND=192.0.2.1 is not an address of this machine"),
        ("BIND=[::1]", "BIND=[::1] has brackets: give the address alone, such as ::1"),
        ("BIND=::", "BIND=:: is an IPv6 address, but the network edge has IPv4 only"),
        ("TAG=a/b", "TAG=a/b is not the tag of an image"),
        ("STAND_INS=never", "STAND_INS=never is not a choice: give yes or no"),
        ("CADDY_HTTP_PORT=8123 NGINX_HTTP_PORT=8123", "CADDY_HTTP_PORT and NGINX_HTTP_PORT are both 8123"),
        ("CERTS=/no/such/folder", "CERTS=/no/such/folder is not a folder"),
        ("APP_ENV_FILE=nowhere.env", "APP_ENV_FILE=nowhere.env is not a file: give one with NAME=value lines"),
        ("APP_PIDS=many", "APP_PIDS=many is not a limit that can be used: give a whole number from 1"),
        ("APP_CPUS=two", "APP_CPUS=two is not a limit that can be used: give a number of CPUs, such as 1.5"),
        ("START_TIMEOUT=0", "START_TIMEOUT=0 is not a limit that can be used: give seconds"),
        (
            "SERVER=gunicorn INTERFACE=wsgi WORKERS=4 THREADS=900",
            "WORKERS=4 and THREADS=900 need about 3776 processes and threads, and APP_PIDS=1024 allows fewer",
        ),
        ("SECRET_KEY=x", "SECRET_KEY is not a setting; .env.example has them all; the application's own variables"),
        ("SERVER=daphne WORKERS=2", "WORKERS=2 cannot be: daphne is one process"),
        ("ADMIN_USER=ana", "ADMIN_USER and ADMIN_PASSWORD_HASH make one account: give both, or neither"),
        ("ADMIN_USER=ana ADMIN_PASSWORD_HASH=secret", "ADMIN_PASSWORD_HASH=secret is not a bcrypt hash"),
        ("ADMIN_ALLOW=10.0.0.1/8", "ADMIN_ALLOW holds 10.0.0.1/8, which is not an address or network"),
        ("TRUSTED_PROXIES=balancer", "TRUSTED_PROXIES holds balancer, which is not an address or network"),
        ("LOGIN_RATE=0", "LOGIN_RATE=0 is not a number of requests per second"),
        ("READ_TIMEOUT=5", "READ_TIMEOUT=5 is not a whole number from 6 to 999999"),
        ("STATIC_PATH=/", "STATIC_PATH=/ is not a path: begin and end it with /"),
        ("STATIC_PATH=static/", "STATIC_PATH=static/ is not a path"),
        ("MEDIA_PATH=/media", "MEDIA_PATH=/media is not a path"),
        ("ADMIN_PATH=/a/../b/", "ADMIN_PATH=/a/../b/ is not a path"),
        ("CACHE_PATH=/c(/", "CACHE_PATH=/c(/ is not a path"),
        ("LOGIN_PATH=login", "LOGIN_PATH=login is not a path"),
        ("MEDIA_PATH=/Static/x/", "MEDIA_PATH=/Static/x/ and /static/ are inside each other"),
        ("LOGIN_PATH=/admin", "LOGIN_PATH=/admin and /admin/ are inside each other"),
        ("BODY_LIMIT=10m", "BODY_LIMIT=10m is not a number of MiB: give a whole number from 1 to 999"),
        ("BODY_LIMIT=1000", "BODY_LIMIT=1000 is not a number of MiB"),
        ("CLIENT_REQUESTS=0", "CLIENT_REQUESTS=0 is not a whole number from 1 to 999999"),
        ("PROXY=iis", "PROXY=iis is not a proxy here: choose"),
        ("COMPOSE_PROFILES=mysql", "COMPOSE_PROFILES=mysql is not a profile here: choose"),
        ("COMPOSE_PROFILES=postgres", "POSTGRES_PASSWORD is empty"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(checkout: Checkout, words: str, message: str) -> None:
    line = complaint(checkout.make("up", *words.split()))
    assert line.startswith("up: ") and message in line
    assert checkout.left() == []


def test_a_typo_in_the_env_file_is_refused_and_a_comment_is_none(checkout: Checkout) -> None:
    file = checkout.folder / ".env"
    try:
        file.write_text("SEVER=uvicorn\n")
        assert "SEVER in .env is not a setting: did you mean SERVER?" in complaint(checkout.make("up"))
        file.write_text("SERVER=nope   # not yet\nMY_OWN=1\n")
        assert "SERVER=nope is not a server here" in complaint(checkout.make("up"))
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("ONYL=C01", "ONYL is not a setting: did you mean ONLY?"),
        ("ONLY=C99", "ONLY=C99 is not a claim here"),
        ("ONLY=", "ONLY is empty: name claims"),
        ("ONLY=C12 PINS=gunicorn==23.0.0", "PINS is for C02, C18, C19, not for C12"),
        ("PINS=gunicorn==23.0.0", "PINS is for C02, C18, C19, not for all"),
        ("ONLY=C18 PINS=gunicorn=23.0.0", "PINS=gunicorn=23.0.0 is not a release: give name==version"),
    ],
)
def test_a_wrong_word_for_the_claims_measures_nothing(words: str, problem: str) -> None:
    variables = dict(word.split("=", 1) for word in words.split())
    environment = os.environ | variables | {"MAKEFLAGS": f" -- {words}"}
    command = [sys.executable, "-m", "tools", "claims"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert problem in complaint(done)


@pytest.mark.parametrize("key", ["NGINX_HTTPS_PORT", "CADDY_HTTP_PORT"])
def test_a_port_in_use_is_one_clear_line(checkout: Checkout, key: str) -> None:
    port = int(checkout.environment[key])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        line = complaint(checkout.make("up"))
    assert line.startswith(f"up: port {port} (") and f"set {key} to another" in line
    assert checkout.left() == []


def test_a_udp_port_in_use_is_one_clear_line(checkout: Checkout) -> None:
    port = int(checkout.environment["NGINX_HTTPS_PORT"])
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        line = complaint(checkout.make("up"))
    assert f"port {port} (nginx, udp)" in line


@pytest.mark.parametrize("target", ["up", "down", "ps", "trust", "images"])
def test_without_an_engine_it_says_so_and_names_the_way(checkout: Checkout, target: str) -> None:
    line = complaint(checkout.make(target, DOCKER_HOST="unix:///nonexistent/docker.sock"))
    assert line.startswith(f"{target}: no Docker engine answers at unix:///nonexistent/docker.sock: start that engine")


def test_without_a_client_it_says_so_and_names_the_way(checkout: Checkout, tmp_path: Path) -> None:
    for tool in ("make", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    line = complaint(checkout.make("up", PATH=str(tmp_path)))
    assert "the docker client" in line and re.search(r"run `(sudo )?make engine`", line)


def test_make_engine_does_nothing_where_it_works(checkout: Checkout) -> None:
    done = checkout.make("engine")
    assert done.returncode == 0 and re.fullmatch(
        r"engine: Docker \S+, Compose \S+, buildx \S+ - nothing to do\n", done.stdout
    )


@pytest.mark.parametrize(
    ("system", "user", "message"),
    [
        ("fedora", 0, "this is not Debian or Ubuntu: install Docker Engine 20.10 or later with its Compose"),
        ("ubuntu", 1000, "run `sudo make engine`"),
    ],
)
def test_make_engine_says_what_to_install_where_it_cannot(
    monkeypatch: pytest.MonkeyPatch, system: str, user: int, message: str
) -> None:
    # The test sets what the command finds, so it installs nothing and asks no engine.
    monkeypatch.setattr(engine, "find_missing", lambda: ["Docker Compose v2"])
    monkeypatch.setattr(install, "os_release", lambda: {"ID": system})
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(Problem) as problem:
        install.main()
    assert "Docker Compose v2 not found" in str(problem.value) and message in str(problem.value)
    assert "\n" not in str(problem.value)


def test_help_lists_every_target(checkout: Checkout) -> None:
    listing = checkout.make("help").stdout
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(targets) > 10
    for target in targets:
        assert re.search(rf"^  {target}\s+\S", listing, re.MULTILINE), target
    assert checkout.make().stdout == listing
