"""PostgreSQL as the stack runs it, by itself for a claim, and what it says of the connections it has."""

from collections.abc import Iterator
from contextlib import contextmanager

from stack import images
from stack.build import build as build_images
from stack.compose import LABEL, Compose
from stack.waiting import wait_until
from tests.claims.single_server import PROJECT
from tests.support.engine import docker
from tests.support.stack import IMAGES

PASSWORD = "it's \\ a password"  # noqa: S105 - with what a shell or SQL would take for its own
RUN = [
    *("run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
    *("--label", f"{LABEL}.project={PROJECT}", "--label", f"{LABEL}.config-hash=none", "--no-healthcheck"),
    *("--env", f"POSTGRES_PASSWORD={PASSWORD}", "--shm-size", "128m"),
    *("--tmpfs", "/run/postgresql:uid=999,gid=999,mode=0700", "--tmpfs", "/tmp:uid=999,gid=999,mode=0700"),
    *("--tmpfs", "/var/lib/postgresql:uid=999,gid=999,mode=0700"),  # so that no volume outlives a run that is killed
]


class Database:
    """One running PostgreSQL."""

    def __init__(self, container: str) -> None:
        self.container = container
        template = "{{.NetworkSettings.Networks.bridge.IPAddress}}"
        self.environment = {"PGHOST": docker("inspect", "--format", template, container)}
        self.environment |= {"PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": PASSWORD}

    def ask(self, sql: str, check: bool = True) -> str:
        """What the superuser is answered, inside the container."""
        words = ("psql", "--username=postgres", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql)
        return docker("exec", self.container, *words, check=check)

    def connections(self, name: str) -> int:
        """How many connections of this application_name there are: backends, as the database counts them."""
        return int(self.ask(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"))  # noqa: S608

    def ready(self) -> bool:
        """Whether it takes connections from outside."""
        return docker("exec", self.container, "pg_isready", "--host=127.0.0.1", check=False).endswith(
            "accepting connections"
        )

    def logs(self) -> str:
        """What it printed, both streams."""
        return docker("logs", self.container)


def build() -> None:
    """Builds its image, on the official one or a stand-in."""
    ours = {"COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": IMAGES}
    build_images(Compose(ours | images.ensure(["postgres"])), ["postgres"])


@contextmanager
def run(most: int) -> Iterator[Database]:
    """One with `most` connections (max_connections), from its readiness to its removal."""
    container = docker(*RUN, f"{IMAGES}-postgres", "-c", f"max_connections={most}")
    try:
        one = Database(container)
        assert wait_until(one.ready, 120), one.logs()[-2000:]
        yield one
    finally:
        docker("rm", "--force", container, check=False)
