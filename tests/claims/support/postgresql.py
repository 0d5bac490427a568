"""PostgreSQL as the stack runs it, in a container of its own for a claim, and the connections that it counts."""

from collections.abc import Iterator
from contextlib import contextmanager

from stack import images
from stack.build import build
from stack.compose import Compose
from stack.waiting import wait_until
from tests.claims.support import containers
from tests.claims.support.server_starter import PROJECT
from tests.support.engine import address_in, exec_in, read_logs, remove, run_detached
from tests.support.stack import IMAGES

PASSWORD = "it's \\ a password"  # noqa: S105 - with characters that a shell or SQL would interpret
# The data is in memory, so that no volume outlives a run that is killed.
TMPFS = dict.fromkeys(("/run/postgresql", "/tmp", "/var/lib/postgresql"), "uid=999,gid=999,mode=0700")


class Database:
    """One running PostgreSQL."""

    def __init__(self, container: str) -> None:
        self.container = container
        self.environment = {"PGHOST": address_in(container, "bridge")}
        self.environment |= {"PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": PASSWORD}

    def query(self, sql: str, check: bool = True) -> str:
        """What the superuser gets for a query, sent from inside the container."""
        words = ("psql", "--username=postgres", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql)
        return exec_in(self.container, *words, check=check)

    def count_connections(self, name: str) -> int:
        """How many connections of this application_name the database has: its backends."""
        return int(self.query(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"))  # noqa: S608

    def is_ready(self) -> bool:
        """Whether the database takes connections over TCP."""
        return exec_in(self.container, "pg_isready", "--host=127.0.0.1", check=False).endswith("accepting connections")

    def logs(self) -> str:
        """What the database printed, both streams."""
        return read_logs(self.container)


def build_image() -> None:
    """Builds the database's image, on the official one or a stand-in."""
    settings = {"COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": IMAGES}
    build(Compose(settings | images.ensure(["postgres"])), ["postgres"])


@contextmanager
def run_database(max_connections: int) -> Iterator[Database]:
    """A database that takes at most `max_connections`, from its readiness to its removal."""
    container = run_detached(
        f"{IMAGES}-postgres",
        "-c",
        f"max_connections={max_connections}",
        **containers.HARDENED,
        tmpfs=TMPFS,
        shm_size="128m",
        environment={"POSTGRES_PASSWORD": PASSWORD},
        labels=containers.project_labels(PROJECT),
        healthcheck={"test": ["NONE"]},
    )
    try:
        database = Database(container)
        assert wait_until(database.is_ready, 120), database.logs()[-2000:]
        yield database
    finally:
        remove(container)
