"""A deployment of an application that keeps data (tests/notes): PostgreSQL, volumes, NGINX, the scripts of deploy/."""

import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack import ROOT, images
from stack.build import build
from stack.compose import Compose
from stack.readiness import read_file_of_certs
from stack.waiting import wait_until
from tests.support.clients import Clients
from tests.support.engine import exec_in, list_containers, remove_project
from tests.support.stack import IMAGES, PREFIX, free_port, own_environment

PARTS = ("nginx", "caddy", "certs", "postgres")
PASSWORD = "a $first password"  # noqa: S105 - of a database that lives for a minute
DOCKERFILE = f"""\
FROM {IMAGES}-app
USER 0:0
COPY driver.txt /tmp/driver.txt
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/pip \\
    if grep -qs CERTIFICATE /run/secrets/ca; then export PIP_CERT=/run/secrets/ca; fi; \\
    /venv/bin/pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement /tmp/driver.txt
COPY --chmod=644 notes.py /srv/notes.py
USER 10001:10001
"""
# Another major release, from Debian's experimental archive, where the archive has it first.
NEXT_MAJOR = """\
FROM stack-base:postgres
USER 0:0
RUN sed 's/ forky / experimental /' /etc/apt/sources.list > /etc/apt/sources.list.d/experimental.list \\
    && apt-get update -qq && apt-get install -qq --no-install-recommends -t experimental postgresql-19 >/dev/null
ENV PG_MAJOR=19 \\
    PGDATA=/var/lib/postgresql/19/docker \\
    PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/19/bin
"""


class Notes(Clients):
    """The deployment: the repository's compose.yaml beside the scripts, and images under names of its own."""

    def __init__(self, folder: Path) -> None:
        self.project = f"{PREFIX}-notes-{os.getpid()}"
        self.folder, self.home, self.port = folder / "deploy", folder / "home", free_port()
        self.home.mkdir()
        shutil.copytree(ROOT / "deploy", self.folder)
        shutil.copytree(ROOT / "postgres", self.folder / "postgres")
        shutil.copy2(ROOT / "compose.yaml", self.folder)
        # What an export does not have: images whose names hold the tag of the app.
        text = (self.folder / "compose.yaml").read_text()
        text = re.sub(rf"(-(?:{'|'.join(PARTS)})):\$\{{TAG:-latest\}}", r"\1", text)
        (self.folder / "compose.yaml").write_text(text)
        (self.folder / "apps/static").mkdir(parents=True)
        settings = {
            "COMPOSE_PROJECT_NAME": self.project, "COMPOSE_PROFILES": "postgres", "POSTGRES_PASSWORD": f"'{PASSWORD}'",
            "NGINX_HTTPS_PORT": str(self.port), "NGINX_HTTP_PORT": str(free_port()), "START_TIMEOUT": "60",
            "SERVER": "granian", "INTERFACE": "wsgi", "APP": "notes:app", "WORKERS": "1", "GRACE": "5",
            "CADDY_HTTPS_PORT": str(free_port()), "CADDY_HTTP_PORT": str(free_port()),
            **images.find_present(["postgres"]),
        }  # fmt: skip
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self.folder / "compose.override.yaml").write_text("services: {caddy: {profiles: [never]}}\n")
        kept = ("PATH", "HOME", "DOCKER", "TMP", "SSL", "XDG", "LANG", "LC_")
        self.environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        Clients.__init__(self, folder / "ca.pem")

    def make_images(self, folder: Path) -> None:
        """Builds the application's image, and gives those of the tests a name of this deployment."""
        pins = (ROOT / "requirements/probe.txt").read_text()
        driver = re.findall(r"^psycopg(?:-binary)?==.*\n(?: +--hash=.*\n)+", pins, re.MULTILINE)
        (folder / "driver.txt").write_text("".join(driver))
        shutil.copy2(ROOT / "tests/notes/notes.py", folder)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        build_image(folder, f"{self.project}-app")
        for name in PARTS:
            subprocess.run(["docker", "tag", f"{IMAGES}-{name}", f"{self.project}-{name}"], check=True)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the deployment's folder; both streams in one."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment | {"HOME": str(self.home)} | environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=170, check=False,
        )  # fmt: skip

    def must(self, *command: str, **environment: str) -> str:
        """Runs a command that has to succeed; what it prints."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start_script(self, *command: str) -> subprocess.Popen[str]:
        """Starts a script in a process group of its own, which a signal can end as Ctrl-C does; both streams in one."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment | {"HOME": str(self.home)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def start(self) -> None:
        """Starts PostgreSQL, makes the table, and starts the rest."""
        self.must("docker", "compose", "up", "--detach", "--no-build", "--wait", "postgres")
        self.query("SET ROLE app; CREATE TABLE IF NOT EXISTS notes (number serial)")
        self.must("docker", "compose", "up", "--detach", "--no-build")
        self.ca.write_text(read_file_of_certs(self.compose, "ca.pem"))
        self.wait()

    def wait(self) -> None:
        """Waits until the application answers through the proxy."""
        if not wait_until(self.is_ready, 60):
            raise AssertionError(self.must("docker", "compose", "logs", "app", "nginx"))

    def is_ready(self) -> bool:
        """Whether /ready answers 200 through the proxy."""
        try:
            return self.get("nginx", "/ready").status_code == 200
        except OSError:
            return False

    @property
    def compose(self) -> Compose:
        """The deployment as the laboratory sees a stack."""
        return Compose({**self.environment, "COMPOSE_FILE": f"{self.folder}/compose.yaml"})

    def https_port(self, proxy: str) -> int:
        """The published port of the site."""
        return self.port

    def container(self, service: str) -> str:
        """The only running container of a service."""
        (container,) = list_containers(self.project, service, running=True)
        return container

    def count(self) -> dict[str, Any]:
        """What the application says of its stores."""
        answer = self.get("nginx", "/notes")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def add(self, number: int = 1) -> None:
        """Adds notes."""
        for _ in range(number):
            assert self.request("nginx", "POST", "/notes").status_code == 200

    def query(self, statements: str, **environment: str) -> str:
        """What psql prints inside the database's container, as the superuser unless the environment says otherwise."""
        container = self.container("postgres")
        words = ("psql", "--no-psqlrc", "-qAt", "-c", statements, "--dbname=app")
        return exec_in(container, *words, check=False, environment=environment)

    def remove(self) -> None:
        """Removes all of it, with its images."""
        self.close_sessions()
        remove_project(self.project)
        names = [f"{self.project}-{name}" for name in ("app", *PARTS)]
        subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=False)


class Load:
    """A steady stream of requests from one client on new connections to the database; every answer is counted."""

    def __init__(self, notes: Notes, method: str) -> None:
        self.client, self.method = notes.new_session("nginx"), method
        self.answers: Counter[str] = Counter()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        """Sends requests until the block ends."""
        for _ in range(6000):
            if self.over.wait(0.01):
                break
            try:
                answer = self.client.request(self.method, "/notes", timeout=20)
                self.answers["200" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"] += 1
            except OSError as error:
                self.answers[type(error).__name__] += 1
        self.client.close()

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(timeout=30)


def build_image(folder: Path, name: str, **arguments: str) -> None:
    """Builds the Dockerfile of a folder."""
    bundle = images.ca_bundle()
    secret = ["--secret", f"id=ca,src={bundle}"] if bundle else []
    words = [word for argument in arguments.items() for word in ("--build-arg", "=".join(argument))]
    command = ["docker", "buildx", "build", "--load", "--quiet", *secret, *words, "--tag", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def read_commands(page: str, section: str = "") -> str:
    """The commands of a page's `sh` blocks, those of one section where it is named."""
    text = (ROOT / "docs" / page).read_text()
    if section:
        text = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@contextmanager
def running(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Notes]:
    """The deployment, running."""
    build(Compose(own_environment("image") | images.ensure(["postgres"])), ["nginx", "caddy", "postgres"])
    notes = Notes(folder)
    try:
        with_files = folder / "image"
        with_files.mkdir()
        notes.make_images(with_files)
        notes.start()
        yield notes
    finally:
        notes.remove()
