"""pypiserver, an index of packages (WSGI): uploads with twine, downloads with pip, and an upgrade under load."""

import hashlib
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import niquests
import pytest

from tests.support.clients import Clients
from tests.support.guest_exports import exported
from tests.support.guests import ClientTools, Guest, running
from tests.support.stack import DEFAULT_PROXIES

pytestmark = pytest.mark.guests
APP = "pypiserver:app(roots=['/data'],password_file='/app/htpasswd.txt')"
USER, PASSWORD = "rosa", "a long password"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def guest(checkout_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The index, up on gunicorn; a package may have 32 MiB."""
    settings = {"APP": APP, "SERVER": "gunicorn", "BODY_LIMIT": "32"}
    with running("pypiserver", tmp_path_factory.mktemp("guest"), **settings) as guest:
        yield guest


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> ClientTools:
    """twine, and the pip beside it."""
    return ClientTools(tmp_path_factory.mktemp("client"), "twine==7.0.0")


@pytest.fixture(params=DEFAULT_PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """NGINX and Caddy."""
    return request.param


def make_wheel(folder: Path, name: str, size: int = 1000) -> Path:
    """Writes a wheel that holds a module and so many random bytes."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    information = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": b"COUNT = 3\n",
        f"{name}.bin": os.urandom(size),
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{information}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in (files | {f"{information}/RECORD": record.encode()}).items():
            wheel.writestr(file, content)
    return path


def upload(
    guest: Clients, tools: ClientTools, proxy: str, wheel: Path, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    """`twine upload`, which trusts the stack's authority only."""
    options = ["--non-interactive", "--disable-progress-bar", "--cert", str(guest.ca), "-u", USER, "-p", password]
    url = f"https://localhost:{guest.https_port(proxy)}/"
    return tools.run("twine", "--no-color", "upload", *options, "--repository-url", url, str(wheel))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("megabytes", [0, 30])
def test_a_wheel_goes_up_with_twine_and_comes_down_with_pip(
    guest: Guest, tools: ClientTools, proxy: str, megabytes: int, tmp_path: Path
) -> None:
    name = f"seeds_{proxy}_{megabytes}"
    wheel = make_wheel(tmp_path, name, megabytes * MEGABYTE or 1000)
    done = upload(guest, tools, proxy, wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = guest.get(proxy, f"/simple/{name.replace('_', '-')}/")
    assert f"/packages/{wheel.name}#sha256={digest(wheel)}" in (listed.text or "")
    index = f"https://localhost:{guest.https_port(proxy)}/simple/"
    options = ["--no-deps", "--no-cache-dir", "--cert", str(guest.ca), "-i", index]
    done = tools.run("python", "-m", "pip", "install", "--target", str(tmp_path / "installed"), *options, name)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as content:
        assert (tmp_path / "installed" / f"{name}.bin").read_bytes() == content.read(f"{name}.bin")


def test_a_wheel_over_the_limit_is_refused_by_the_proxy(
    guest: Guest, tools: ClientTools, proxy: str, tmp_path: Path
) -> None:
    done = upload(guest, tools, proxy, make_wheel(tmp_path, "large", 33 * MEGABYTE))
    assert done.returncode != 0
    # twine sends everything first, and Caddy closes meanwhile: docs/proxies.md
    assert "413" in done.stdout + done.stderr or proxy == "caddy"
    assert "large" not in (guest.get(proxy, "/simple/").text or "")


def test_only_the_user_uploads(guest: Guest, tools: ClientTools, proxy: str, tmp_path: Path) -> None:
    done = upload(guest, tools, proxy, make_wheel(tmp_path, "forged"), "wrong")
    assert done.returncode != 0
    assert "403" in done.stdout + done.stderr
    assert "forged" not in (guest.get(proxy, "/simple/").text or "")


def read_release(answer: niquests.Response) -> str:
    """The release of pypiserver that its first page names."""
    release = re.search(r"running version ([\d.]+)", answer.text or "")
    return release[1] if release else "none"


def test_an_upgrade_takes_over_under_load_and_keeps_the_packages(
    guest: Guest, tools: ClientTools, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "kept")
    assert upload(guest, tools, "nginx", wheel).returncode == 0
    requirements = guest.source / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("2.4.1", "2.4.2"))
    answers = guest.roll_under_load("/", read_release)
    assert set(answers) == {"2.4.1", "2.4.2"}
    assert hashlib.sha256(guest.get("caddy", f"/packages/{wheel.name}").content or b"").hexdigest() == digest(wheel)


def test_an_export_starts_by_itself(guest: Guest, tools: ClientTools, tmp_path: Path) -> None:
    """Its body limit is the one that was set here."""
    with exported(guest) as export:
        for proxy in DEFAULT_PROXIES:
            wheel = make_wheel(tmp_path, f"exported_{proxy}", 30 * MEGABYTE)
            done = upload(export, tools, proxy, wheel)
            assert done.returncode == 0, done.stdout + done.stderr
            answer = export.get(proxy, f"/packages/{wheel.name}")
            assert hashlib.sha256(answer.content or b"").hexdigest() == digest(wheel)
