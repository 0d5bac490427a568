"""A small deployment of its own: the scripts of deploy/ with a compose.yaml, one proxy, and a project in Git."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import ROOT
from stack.build import build, remove_images
from stack.compose import Compose
from stack.readiness import read_file_of_certs
from tests.support.clients import Clients
from tests.support.engine import inspect, list_containers, remove_project
from tests.support.stack import IMAGES, PREFIX, free_port, own_environment

SCRIPTS = ("roll", "run", "logs")
# The project chooses by its files how this version behaves.
DOCKERFILE = f"""\
FROM {IMAGES}-app
COPY . /app
CMD ["sh", "-c", "if [ -e /app/crashes ]; then echo 'no module shop'; exit 3; fi; exec python3 -m app_runtime.serve"]
HEALTHCHECK CMD if [ -e /app/unhealthy ]; then echo no index; exit 1; fi; exec python3 /srv/app_runtime/healthcheck.py
"""
COMPOSE = f"""\
x-app: &app
  image: ${{COMPOSE_PROJECT_NAME}}-app:${{TAG:-latest}}
  pull_policy: never
  init: true
  restart: unless-stopped
  environment: &environment
    {{SERVER: "${{SERVER:-uvicorn}}", INTERFACE: asgi, APP: bare, WORKERS: "1", DOMAIN: localhost, STATIC_DIR: static,
     GRACE: "${{GRACE:-20}}"}}
  volumes: ["data:/data"]
  tmpfs: ["/tmp:uid=10001"]
services:
  app:
    <<: *app
    build: {{context: .., dockerfile: deploy/Dockerfile}}
    networks: {{backend: {{aliases: ["${{COMPOSE_PROJECT_NAME}}-app"]}}}}
  processes:
    <<: *app
    command: [python3, -m, app_runtime.processes]
    healthcheck: {{disable: true}}
    environment: {{<<: *environment, APP_PROCESSES: sleep 600}}
    network_mode: none
  assets:
    <<: *app
    restart: "no"
    command: [python3, -m, app_runtime.assets]
    healthcheck: {{disable: true}}
    network_mode: none
    volumes: ["static:/srv/static"]
  nginx:
    image: {IMAGES}-nginx
    restart: unless-stopped
    environment: NGINX_ENVIRONMENT
    labels: {{stack.check: "-t", stack.reload: HUP}}
    group_add: ["10100"]
    networks: [edge, backend]
    ports: ["127.0.0.1:${{PORT}}:8443"]
    volumes: ["certs:/certs:ro", "static:/srv/static:ro"]
    tmpfs: ["/run/nginx:uid=10101", "/var/cache/nginx:uid=10101"]
  certs:
    image: {IMAGES}-certs
    environment: {{DOMAIN: localhost}}
    network_mode: none
    volumes: ["certs:/certs"]
    tmpfs: ["/tmp:uid=10100"]
networks: {{edge: {{}}, backend: {{internal: true}}}}
volumes: {{certs: {{}}, data: {{}}, static: {{}}}}
"""


class Deployment(Clients):
    """A project `shop` with its folder `deploy`. Nothing but Docker and a shell runs it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.project = f"{PREFIX}-{name}-{os.getpid()}"
        self.shop, self.folder, self.port = folder, folder / "deploy", free_port()
        (folder / "static").mkdir()
        self.folder.mkdir()
        for script in SCRIPTS:
            shutil.copy2(ROOT / "deploy" / script, self.folder / script)
        # The settings of the proxy are those of the laboratory, but for these.
        own = {"DOMAIN": "localhost", "APP_HOST": "${COMPOSE_PROJECT_NAME}-app", "HTTPS_PORT": "${PORT}"}
        settings = Compose(own_environment("settings")).services["nginx"]["environment"]
        environment = settings | own | {"READ_TIMEOUT": "${READ_TIMEOUT:-60}"}
        (self.folder / "compose.yaml").write_text(COMPOSE.replace("NGINX_ENVIRONMENT", json.dumps(environment)))
        (self.folder / "Dockerfile").write_text(DOCKERFILE)
        (self.folder / ".gitignore").write_text(".env*\n.roll\n")
        self.settings: dict[str, str] = {}
        self.set(COMPOSE_PROJECT_NAME=self.project, PORT=str(self.port), START_TIMEOUT="20")
        self.temporary = folder.parent / "tmp"  # for the scripts, which must leave nothing there
        self.temporary.mkdir()
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("COMPOSE_", "GIT_"))}
        self.environment["TMPDIR"] = str(self.temporary)
        self.run_git("init", "--quiet")
        Clients.__init__(self, folder.parent / f"{name}.pem")

    def set(self, **settings: str) -> None:
        """Sets lines of .env; the other lines stay."""
        file = self.folder / ".env"
        lines = file.read_text().splitlines() if file.is_file() else []
        kept = [line for line in lines if line.partition("=")[0] not in settings]
        file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in settings.items())]) + "\n")

    def commit(self, version: str, **files: str) -> str:
        """Makes a version of the project with exactly these files, and returns its tag."""
        for old in ("unhealthy", "crashes", "fails"):
            (self.shop / old).unlink(missing_ok=True)
        for name, text in {"static/version.txt": version, **files}.items():
            (self.shop / name).write_text(text)
        self.run_git("add", "--all")
        self.run_git("-c", "user.name=Ana", "-c", "user.email=ana@shop.example", "commit", "--quiet", "-m", version)
        return self.run_git("rev-parse", "--short", "HEAD")

    def run_git(self, *words: str) -> str:
        """Runs git in the project, and returns what it prints."""
        return subprocess.check_output(["git", *words], cwd=self.shop, text=True, env=self.environment).strip()

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a script, such as `./roll`, and keeps what it prints."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True, timeout=170,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def start(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Starts a script in a process group of its own, both streams in one, and waits for its end."""
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                process.wait(timeout=90)

    @property
    def compose(self) -> Compose:
        """The deployment as the laboratory sees a stack, with the present settings."""
        files = {"COMPOSE_FILE": "compose.yaml", "COMPOSE_ENV_FILES": ".env"}
        return Compose({**self.environment, **{name: str(self.folder / file) for name, file in files.items()}})

    def apps(self) -> list[str]:
        """The app's containers, running or not, the newest first."""
        return list_containers(self.project, "app")

    def list_published(self) -> list[str]:
        """The app's running containers to which its name leads."""
        running = list_containers(self.project, "app", running=True)
        networks = {each: inspect(each)["NetworkSettings"]["Networks"] for each in running}
        endpoints = {each: network.get(f"{self.project}_backend") for each, network in networks.items()}
        return [each for each, endpoint in endpoints.items() if endpoint and "app" in (endpoint["Aliases"] or [])]

    def read_tag(self) -> str:
        """The tag in .env."""
        (line,) = (line for line in (self.folder / ".env").read_text().splitlines() if line.startswith("TAG="))
        return line.removeprefix("TAG=")

    def scale(self, number: int) -> None:
        """Runs as many containers of the app."""
        self.compose.run(
            "up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", f"app={number}", "app"
        )

    def read_tags(self) -> list[str]:
        """The tags of the images of the app's containers."""
        return [inspect(each)["Config"]["Image"].rpartition(":")[2] for each in self.apps()]

    def https_port(self, proxy: str) -> int:
        """The published port of the site."""
        return self.port

    def container(self, service: str) -> str:
        """The only container of a service."""
        (container,) = list_containers(self.project, service)
        return container

    def trust(self) -> None:
        """Writes the local authority for the clients."""
        self.ca.write_text(read_file_of_certs(self.compose, "ca.pem"))

    def remove(self) -> None:
        """Removes all of it, with its images."""
        self.close_sessions()
        remove_project(self.project)
        remove_images(self.project)


@contextmanager
def deployed(folder: Path, name: str) -> Iterator[Deployment]:
    """A deployment that runs its first version."""
    build(Compose(own_environment("image")), ["nginx"])  # the laboratory's, on which it stands
    folder.mkdir()
    deployment = Deployment(folder, name)
    try:
        deployment.commit("first")
        done = deployment.run("./roll")
        assert done.returncode == 0, done.stderr
        deployment.trust()
        yield deployment
    finally:
        deployment.remove()
