"""An application of the user's own: in unchanged, with its packages, its files, its commands and its data."""

import json
import re
import ssl
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from stack.waiting import wait_until
from tests.support.checkout import Checkout, complaint
from tests.support.engine import client, exec_in, exec_status, inspect, read_logs

pytestmark = pytest.mark.full
# A project whose packages have the names of the stack's own, and which imports nothing of the stack.
MAIN = """
import json, logging, os, sys
import apps, stack, bottle
from shop import VERSION
logging.basicConfig(level="INFO")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    logging.info("asked for %s", path)
    answer = {"path": path, "version": VERSION, "names": [apps.NAME, stack.NAME, bottle.__version__],
              "secret": os.environ.get("SECRET_KEY"), "database": os.environ.get("DATABASE_URL"),
              "files": sorted(os.listdir("/app"))}
    start_response("200 OK" if path != "/missing" else "404 Not Found", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""
WORKER = """
import os, signal, sys, time
def stop(*_):
    open(f"/data/{sys.argv[1]}.stopped", "a").write("x")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open(f"/data/{sys.argv[1]}.started", "a").write("x")
while True:
    time.sleep(0.1)
"""
KILL_FIRST = """
import os, pathlib
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if path.read_bytes().endswith(b"worker.py\\0first\\0"):
        os.kill(int(path.parent.name), 9)
"""
FILES = {
    "shop/__init__.py": "VERSION = 1\n",
    "shop/main.py": MAIN,
    "apps/__init__.py": "NAME = 'their apps'\n",
    "stack.py": "NAME = 'their stack'\n",
    "worker.py": WORKER,
    "requirements.txt": "-r requirements/base.txt\n",
    "requirements/base.txt": "bottle==0.13.4\n",
    ".env": "SECRET=of-the-developer\n",
    ".git/HEAD": "ref: refs/heads/main\n",
    "site.css": "body {color: black}\n",
}
BUILD = 'mkdir -p public && cp site.css "public/site.$SECRET_KEY.css"'
SETTINGS = {
    "APP": "shop.main:app",
    "SERVER": "gunicorn",
    "PROXY": "nginx,caddy",
    "APP_BUILD": BUILD,
    "STATIC_DIR": "public",
    "APP_RELEASE": "echo release >> /data/releases",
    "APP_PROCESSES": "python worker.py first & python worker.py second",
}


class Shop:
    """The project, and the stack that runs it."""

    def __init__(self, checkout: Checkout, folder: Path) -> None:
        self.checkout, self.folder = checkout, folder
        for name, text in FILES.items():
            self.write(name, text)
        variables = folder / "variables"
        variables.write_text("SECRET_KEY=s3cr3t\n")
        self.settings = SETTINGS | {"APP_DIR": str(folder), "APP_ENV_FILE": str(variables)}

    def write(self, name: str, text: str) -> None:
        """Writes a file of the project."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def up(self, **settings: str) -> str:
        """`make up`; what it prints."""
        done = self.checkout.make("up", **self.settings | settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fail(self, **settings: str) -> str:
        """`make up`, which is to fail; its errors."""
        done = self.checkout.make("up", **self.settings | settings)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def get(self, path: str, proxy: str = "nginx") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a GET through a proxy."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the tests of TLS are others
        url = f"https://localhost:{self.checkout.environment[f'{proxy.upper()}_HTTPS_PORT']}{path}"
        try:
            with urllib.request.urlopen(url, context=context, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def ask(self, path: str = "/", proxy: str = "nginx") -> Any:
        """What the application says of itself."""
        return json.loads(self.get(path, proxy)[2])

    def read_data(self, name: str) -> str:
        """A file in the application's volume; "" where it is missing."""
        status, output = exec_status(self.checkout.container("app"), "cat", f"/data/{name}")
        return output if status == 0 else ""

    def is_internal(self) -> set[bool]:
        """Of the networks of the application, which are closed."""
        networks = inspect(self.checkout.container("app"))["NetworkSettings"]["Networks"]
        return {client().networks.get(network["NetworkID"]).attrs["Internal"] for network in networks.values()}


@pytest.fixture
def shop(checkout: Checkout, tmp_path: Path) -> Shop:
    return Shop(checkout, tmp_path)


def test_an_application_runs_unchanged_and_gets_all_that_it_asks_for(shop: Shop) -> None:
    printed = shop.up()
    assert re.search(r"interface +wsgi\n", printed) and re.search(r"health +any answer of / under 500\n", printed)
    for proxy in ("nginx", "caddy"):
        seen = shop.ask("/admin/", proxy)
        assert seen["path"] == "/admin/", "the stack took a path for itself"
        assert seen["names"] == ["their apps", "their stack", "0.13.4"]
        assert (seen["secret"], seen["database"]) == ("s3cr3t", None)
        status, _, body = shop.get("/static/site.s3cr3t.css", proxy)
        assert (status, body) == (200, FILES["site.css"].encode()), "a static file of the build"
    assert not {".env", ".git"} & {*seen["files"]}, "the image has what it should not"
    assert shop.is_internal() == {True}, "there is a way out"
    check_request_id(shop)
    check_commands(shop)
    check_releases(shop)


def check_request_id(shop: Shop) -> None:
    """The id of the proxy's reply is in the application's own log line, and `make logs ID=…` shows both lines."""
    shop.get("/find-me")
    lines = wait_until(
        lambda: re.findall(r"asked for /find-me request_id=(\S+)", read_logs(shop.checkout.container("app")))
    )
    assert lines
    done = wait_until(
        lambda: (shows := shop.checkout.make("logs", f"ID={lines[0]}")).stdout.count(lines[0]) >= 2 and shows
    )
    assert done and "nginx" in done.stdout and "app" in done.stdout, shop.checkout.make("logs", f"ID={lines[0]}")


def check_commands(shop: Shop) -> None:
    """`make run` runs in the application's image and environment, and passes its status on."""
    done = shop.checkout.make("run", "CMD=echo $SECRET_KEY; ls /data; exit 7", **shop.settings)
    assert done.returncode != 0 and "s3cr3t\n" in done.stdout and "releases" in done.stdout, done.stderr
    assert "CMD is empty" in complaint(shop.checkout.make("run", **shop.settings))


def check_releases(shop: Shop) -> None:
    """A release whose command fails changes nothing; the next one replaces the app."""
    assert shop.read_data("releases").split() == ["release"]
    before = shop.checkout.container("app")
    shop.write("shop/__init__.py", "VERSION = 2\n")
    error = shop.fail(APP_RELEASE="echo no such column; exit 3")
    assert "no such column" in error and "has failed with status 3" in error
    assert shop.checkout.container("app") == before and shop.ask()["version"] == 1
    shop.up()
    assert shop.ask()["version"] == 2
    assert shop.read_data("releases").split() == ["release", "release"]


def test_processes_beside_the_web_process_stop_gracefully(shop: Shop) -> None:
    shop.up(PROXY="nginx", STATIC_DIR="", APP_BUILD="")
    assert wait_until(lambda: shop.read_data("first.started") and shop.read_data("second.started"))
    container = shop.checkout.container("processes")
    exec_in(container, "python3", "-c", KILL_FIRST)
    assert wait_until(lambda: shop.read_data("second.stopped") == "x"), "the other command is stopped where one ends"
    assert wait_until(lambda: shop.read_data("first.started") == "xx"), "all of them start again"
    assert inspect(container)["RestartCount"] == 1
    began = time.monotonic()
    shop.up(PROXY="nginx", STATIC_DIR="", APP_BUILD="", APP_PROCESSES="python worker.py third")
    assert wait_until(lambda: shop.read_data("third.started"))
    assert shop.read_data("first.stopped") == "x", "a new version ends the old commands with SIGTERM"
    assert time.monotonic() - began < 60
    shop.up(PROXY="nginx", STATIC_DIR="", APP_BUILD="", APP_PROCESSES="", APP_EGRESS="yes")
    assert shop.checkout.containers("processes") == []
    assert shop.is_internal() == {True, False} and shop.ask()["version"] == 1, "APP_EGRESS=yes is a way out"


# What is wrong, and what the last line of `make up` says.
MISTAKES = {
    "no such folder": ({"APP_DIR": "/nowhere"}, "APP_DIR=/nowhere is not a folder"),
    "no folder": ({"APP_DIR": ""}, "APP=shop.main:app is no demonstration: give APP_DIR="),
    "no module": ({"APP": "shop"}, "give module:attribute, such as APP=shop.main:app"),
    "a folder above": ({"STATIC_DIR": "../x"}, "STATIC_DIR=../x is not a folder that can be used"),
    "a relative volume": ({"MEDIA_DIR": "media"}, "MEDIA_DIR=media is not a path in the container"),
    "no answer": ({"APP_EGRESS": "maybe"}, "APP_EGRESS=maybe is not a choice: give yes or no"),
    "no such file": (
        {"APP_REQUIREMENTS": "none.txt"},
        "APP_REQUIREMENTS names none.txt, and the project has no such file",
    ),
    "another interface": (
        {"SERVER": "uvicorn", "INTERFACE": "asgi"},
        "is a wsgi application: leave INTERFACE=asgi out",
    ),
    "a server without it": ({"SERVER": "daphne"}, "is a wsgi application, which SERVER=daphne does not serve"),
    "a build that fails": ({"APP_BUILD": "echo no npm; exit 5"}, "no npm"),
    "no static files": ({"STATIC_DIR": "nothing"}, "STATIC_DIR=nothing is no folder of the image"),
}


def test_a_mistake_is_said_in_a_line_and_changes_nothing(shop: Shop) -> None:
    shop.settings |= {"PROXY": "nginx", "STATIC_DIR": "", "APP_BUILD": "", "APP_PROCESSES": "", "APP_RELEASE": ""}
    shop.up()
    before = shop.checkout.containers("app")
    for name, (settings, reason) in MISTAKES.items():
        error = shop.fail(**settings)
        last = [line for line in error.splitlines() if not line.startswith("make:")][-1]
        assert reason in last, f"{name}: {error}"
        assert shop.checkout.containers("app") == before, name
    shop.write("requirements.txt", "gunicorn==19.9.0\nbottle\n")
    error = shop.fail()
    assert "do not fit SERVER=gunicorn (gunicorn==" in error and "APP_OVERRIDE=yes" in error
    shop.up(APP_OVERRIDE="yes")
    assert shop.ask()["version"] == 1
