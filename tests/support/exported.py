"""A project, and the folder that `make export` makes of it: where Docker and a shell are all there is."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from stack import export, settings
from stack.build import build, remove_images
from stack.compose import Compose
from stack.readiness import read_file_of_certs
from tests.support.clients import Clients
from tests.support.engine import list_containers, remove_project
from tests.support.stack import PREFIX, own_environment

# What ./roll and its like call beside docker. No Python is among them.
COMMANDS = (
    *("sh", "awk", "basename", "cat", "cmp", "cp", "cut", "date", "dirname", "docker", "du", "env", "find", "flock"),
    *("git", "grep", "head", "id", "ls", "mkdir", "mktemp", "mv", "od", "paste", "rm", "sed", "setsid", "sha256sum"),
    *("sleep", "sort", "sync", "tail", "touch", "tr", "uname", "wc"),
)
ASGI = """
import json, os
VERSION = {version!r}

async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        await send({{"type": message["type"] + ".complete"}})
        if message["type"] == "lifespan.shutdown":
            return
    facts = {{"server": VERSION, "database": os.environ.get("DATABASE_URL"), "key": os.environ.get("SECRET_KEY")}}
    headers = [(b"content-type", b"application/json")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": json.dumps(facts).encode()}})
"""
WSGI = """
import json
VERSION = {version!r}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"server": VERSION, "path": environ["PATH_INFO"]}}).encode()]
"""
WORKER = "import time, pathlib\npathlib.Path('/data/worker').write_text('runs')\ntime.sleep(600)\n"
REACH = """
import os, socket
socket.create_connection((os.environ["PGHOST"], 5432), 20)
open("/data/released", "a").write("x")
"""


class Choice(NamedTuple):
    """What a team has tried with `make up`: the text of its application, and its settings."""

    text: str
    settings: dict[str, str]
    services: tuple[str, ...]


CHOICES = {
    "database": Choice(
        ASGI,
        {
            **{
                "SERVER": "granian",
                "PROXY": "nginx",
                "COMPOSE_PROFILES": "postgres",
                "POSTGRES_PASSWORD": "it's $ecret",
            },
            "APP_RELEASE": "python shop/reach.py",
        },
        ("app", "nginx", "postgres"),
    ),
    "small": Choice(WSGI, {"SERVER": "gunicorn", "PROXY": "caddy"}, ("app", "caddy")),
    "files": Choice(
        ASGI,
        {
            **{"SERVER": "uvicorn", "PROXY": "nginx,caddy", "STATIC_DIR": "public", "MEDIA_DIR": "/app/media"},
            **{"APP_BUILD": "mkdir public && echo $SECRET_KEY > public/site.css", "APP_EGRESS": "yes"},
            "APP_PROCESSES": "python shop/worker.py",
        },
        ("app", "nginx", "caddy", "processes", "assets"),
    ),
}


class Exported(Clients):
    """The project, the stack here that was tried with it, and the exported folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.choice = name, CHOICES[name]
        self.project = f"{PREFIX}-export-{name}-{os.getpid()}"
        self.shop = folder / self.project  # the export's project has the name of this folder
        self.folder = self.shop / "deploy"
        self.images = f"{self.project}-here"
        self.write("first")
        for file, text in {"worker.py": WORKER, "reach.py": REACH}.items():
            (self.shop / "shop" / file).write_text(text)
        (self.shop / ".venv").mkdir()
        (self.shop / ".venv/big").write_bytes(os.urandom(1 << 20))
        variables = folder / "variables"
        variables.write_text("SECRET_KEY=s3cr3t\n")
        empty = folder / "none.env"  # in place of the user's .env, which must not change a test
        empty.touch()
        self.settings = own_environment(f"here-{name}-{os.getpid()}") | self.choice.settings
        self.settings |= {
            "IMAGES": self.images,
            "APP_DIR": str(self.shop),
            "APP": "shop.main:app",
            "DOMAIN": "localhost",
        }
        self.settings |= {"APP_ENV_FILE": str(variables), "COMPOSE_ENV_FILES": str(empty), "TO": str(self.folder)}
        self.tools = folder / "bin"
        self.tools.mkdir()
        for command in COMMANDS:
            if place := shutil.which(command):
                (self.tools / command).symlink_to(place)
        Clients.__init__(self, folder / "ca.pem")

    def write(self, version: str) -> None:
        """Writes a version of the application."""
        (self.shop / "shop").mkdir(parents=True, exist_ok=True)
        (self.shop / "shop/main.py").write_text(self.choice.text.format(version=version))

    def build_here(self) -> None:
        """Builds the application's image, as `make up` does."""
        self.here = settings.read(os.environ).compose
        build(self.here, [])

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the exported folder, without Python and without this process's environment."""
        plain = {"PATH": str(self.tools), "HOME": os.environ["HOME"], "TMPDIR": str(self.tools.parent)}
        return subprocess.run(
            command, cwd=self.folder, env=plain | environment, capture_output=True, text=True, timeout=170, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def there(self) -> Compose:
        """The export as a stack."""
        files = {"COMPOSE_FILE": "compose.yaml", "COMPOSE_ENV_FILES": ".env"}
        return Compose({name: str(self.folder / file) for name, file in files.items()})

    def trust(self) -> None:
        """Writes the local authority for the clients."""
        self.ca.write_text(read_file_of_certs(self.there, "ca.pem"))

    def https_port(self, proxy: str) -> int:
        """The published port of the site."""
        return int(self.settings[f"{proxy.upper()}_HTTPS_PORT"])

    def container(self, service: str) -> str:
        """The only container of a service of the export."""
        (container,) = list_containers(self.project, service)
        return container

    def remove(self) -> None:
        """Removes all of it, here and there, with the images."""
        self.close_sessions()
        remove_project(self.project)
        for project in (self.project, self.images):
            remove_images(project)


@contextmanager
def exported(folder: Path, name: str) -> Iterator[Exported]:
    """An exported folder; nothing of it runs yet."""
    project = Exported(folder, name)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for key, value in project.settings.items():
                patch.setenv(key, value)
            project.build_here()
            export.main()
        yield project
    finally:
        project.remove()
