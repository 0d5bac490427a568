"""`make up`, a swap and `make down`, as a newcomer types them: what they print, and what runs then."""

import re
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from stack import ROOT
from tests.support.checkout import Checkout, complaint
from tests.support.engine import inspect
from tests.support.stack import DEFAULT_PROXIES, PROXIES


def shape(text: str) -> str:
    """An output without what differs from machine to machine: the ports, and the note on stand-ins."""
    return re.sub(r"   \(stack-base:\w+\)", "", re.sub(r":\d{4,5}\b", ":PORT", text)).strip()


def test_up_swap_trust_and_down_do_what_the_readme_shows(checkout: Checkout) -> None:
    started = checkout.make("up", "SERVER=granian")
    assert started.returncode == 0, started.stderr
    shown = re.search(r"<!-- up -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    assert shape(started.stdout) == shape(shown[1])
    steps = started.stderr.splitlines()
    assert 3 <= len(steps) <= 8, started.stderr
    assert all(re.fullmatch(r"(up|images): .+ … [\d.]+ s", line) for line in steps), started.stderr

    trusted = checkout.make("trust")
    assert trusted.returncode == 0 and "curl --cacert ca.pem" in trusted.stdout
    assert "BEGIN CERTIFICATE" in (checkout.folder / "ca.pem").read_text()
    assert checkout.make("ps").stdout.count("running, ") == 3

    proxies = [checkout.container(name) for name in ("nginx", "caddy")]
    swapped = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=flask", "WORKERS=1")
    assert swapped.returncode == 0, swapped.stderr
    assert re.search(r"server +gunicorn \d", swapped.stdout) and re.search(r"app +flask", swapped.stdout)
    assert proxies == [checkout.container(name) for name in ("nginx", "caddy")], "a proxy was replaced"

    # A wrong setting, and a configuration that a proxy refuses, change nothing of what runs.
    before = checkout.left()
    assert "SERVER=nope" in complaint(checkout.make("up", "SERVER=nope"))
    conf = checkout.folder / "nginx/snippets/limits.conf"
    original = conf.read_text()
    try:
        conf.write_text(original + "client_body_in_file_only ten;\n")
        refused = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=flask", "WORKERS=1")
    finally:
        conf.write_text(original)
    assert refused.returncode != 0
    assert "nginx does not accept its configuration (see above): nothing was changed" in refused.stderr
    assert "invalid value" in refused.stderr
    assert sorted(checkout.left()) == sorted(before)

    assert checkout.destroy().returncode == 0
    assert checkout.left() == []


def test_one_proxy_alone(checkout: Checkout) -> None:
    done = checkout.make("up", "PROXY=caddy", "SERVER=uvicorn")
    assert done.returncode == 0, done.stderr
    assert "caddy " in done.stdout and "nginx " not in done.stdout
    assert checkout.containers("caddy") and not checkout.containers("nginx")
    # A proxy that is named takes the place of the other.
    assert checkout.make("up", "PROXY=nginx", "SERVER=uvicorn").returncode == 0
    assert checkout.containers("nginx") and not checkout.containers("caddy")


@pytest.mark.parametrize("proxy", [name for name in PROXIES if name not in DEFAULT_PROXIES])
def test_a_proxy_with_a_profile_runs_where_it_is_asked_for(checkout: Checkout, proxy: str) -> None:
    started = checkout.make("up", f"PROXY={proxy}", "SERVER=uvicorn")
    assert started.returncode == 0, started.stderr
    port = checkout.environment[f"{proxy.upper()}_HTTPS_PORT"]
    assert re.search(rf"^  {proxy} +https://localhost:{port} ", started.stdout, re.MULTILINE), started.stdout
    assert not checkout.containers("nginx") and not checkout.containers("caddy")
    before = checkout.containers(proxy)
    swapped = checkout.make("up", f"PROXY={proxy}", "SERVER=granian")
    assert swapped.returncode == 0 and re.search(r"server +granian \d", swapped.stdout), swapped.stderr
    assert checkout.containers(proxy) == before != [], "the proxy was replaced"
    assert checkout.make("trust").returncode == 0
    shown = checkout.make("ps").stdout
    assert re.search(rf"^{proxy} .*running.*:{port}$", shown, re.MULTILINE), shown
    # Without PROXY, the default proxies start beside it. It stays as it is until a setting changes.
    assert checkout.make("up", "SERVER=granian").returncode == 0
    assert checkout.containers("nginx") and checkout.containers("caddy") and checkout.containers(proxy) == before
    assert checkout.make("up", "SERVER=granian", "ADMIN_ALLOW=192.0.2.0/24").returncode == 0
    assert "ADMIN_ALLOW=192.0.2.0/24" in inspect(checkout.container(proxy))["Config"]["Env"]
    assert checkout.destroy().returncode == 0
    assert checkout.left() == []


def test_two_starts_a_moment_apart_are_one_stack(checkout: Checkout) -> None:
    first = checkout.make("up", "PROXY=nginx")
    second = checkout.make("up", "PROXY=nginx")
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert len(checkout.containers("app")) == 1


def test_plain_compose_up_runs_the_same_stack(checkout: Checkout) -> None:
    done = subprocess.run(
        ["docker", "compose", "up", "--detach", "--wait", "--build"],
        cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # --wait fails, because the certificates' container ends, as it should.
    assert "unhealthy" not in done.stderr, done.stderr
    assert checkout.make("trust").returncode == 0
    context = ssl.create_default_context(cafile=str(checkout.folder / "ca.pem"))
    for key in ("NGINX_HTTPS_PORT", "CADDY_HTTPS_PORT"):
        with urllib.request.urlopen(
            f"https://localhost:{checkout.environment[key]}/process", context=context
        ) as answer:
            assert '"server":"granian"' in answer.read().decode()


def test_an_application_that_does_not_start_shows_its_log_and_leaves_nothing(checkout: Checkout) -> None:
    (checkout.folder / "apps/wsgi/broken.py").write_text('"""Broken."""\n\nraise RuntimeError("no such table")\n')
    try:
        done = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=broken")
    finally:
        (checkout.folder / "apps/wsgi/broken.py").unlink()
    assert done.returncode != 0
    assert "no such table" in done.stderr
    assert "up: the app does not stay up: its log is above" in done.stderr
    assert checkout.left() == []


def test_a_second_checkout_of_the_same_name_is_told_so(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.make("up", "PROXY=nginx").returncode == 0
    other = Checkout(tmp_path)
    other.environment |= {"COMPOSE_PROJECT_NAME": checkout.project}
    for target in ("up", "down"):
        line = complaint(other.make(target))
        assert str(checkout.folder) in line
    assert checkout.containers("nginx"), "the other checkout's stack was touched"
