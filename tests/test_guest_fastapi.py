"""A FastAPI project in the shape of the full-stack template: uv.lock, asyncpg, Alembic, a worker, streams, uploads."""

import hashlib
import itertools
import json
import random
import re
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from stack.waiting import wait_until
from tests.support.engine import exec_in, read_logs, stop
from tests.support.guest_exports import exported
from tests.support.guests import Guest, running
from tests.support.stack import DEFAULT_PROXIES

pytestmark = pytest.mark.guests

API = "/api/v1"
MIB = 1 << 20
VARIABLES = """PROJECT_NAME=Items and files
SECRET_KEY='for tests only: $ " #'
"""
SETTINGS = {
    "APP": "app.main:app",
    "SERVER": "uvicorn",
    "APP_OVERRIDE": "yes",
    "COMPOSE_PROFILES": "postgres",
    "POSTGRES_PASSWORD": "p@ss w/rd",
    "APP_RELEASE": "alembic upgrade head",
    "APP_PROCESSES": "python -m app.worker",
    "BODY_LIMIT": "32",
    "HEALTH_PATH": f"{API}/utils/health-check/",
}
MIGRATION = '''"""A {name} migration"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "0001"


def upgrade():
    op.add_column("item", sa.Column("{name}", sa.String))
    {more}


def downgrade():
    op.drop_column("item", "{name}")
'''


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The project, up."""
    folder = tmp_path_factory.mktemp("fastapi")
    (folder / "site.env").write_text(VARIABLES)
    with running("fastapi", folder, APP_ENV_FILE=str(folder / "site.env"), **SETTINGS) as guest:
        yield guest


def post_item(guest: Guest, proxy: str, title: str) -> tuple[int, str]:
    """Makes an item; its number, and the id of the request."""
    answer = guest.request(proxy, "POST", f"{API}/items/", json={"title": title})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.headers["X-Request-ID"]


def add_migration(guest: Guest, revision: str, name: str, more: str = "") -> None:
    """Writes a migration that follows the first one."""
    file = guest.source / f"app/alembic/versions/{revision}_{name}.py"
    file.write_text(MIGRATION.format(revision=revision, name=name, more=more))


def write_version(guest: Guest, version: str) -> None:
    """Writes the version that the application says."""
    (guest.source / "app/__init__.py").write_text(f'__version__ = "{version}"\n')


def read_columns(guest: Guest) -> str:
    """The columns of the table `item`, as PostgreSQL has them."""
    query = "select string_agg(column_name, ' ' order by ordinal_position) from information_schema.columns "
    query += "where table_name = 'item'"
    command = ("psql", "--username", "app", "--tuples-only", "-Ac", query, "app")
    return exec_in(guest.container("postgres"), *command, environment={"PGPASSWORD": SETTINGS["POSTGRES_PASSWORD"]})


def test_the_lock_gives_the_releases_but_for_the_server(guest: Guest) -> None:
    lock = (guest.source / "uv.lock").read_text()
    releases = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', lock, re.MULTILINE))
    frozen = exec_in(guest.container("app"), "cat", "/srv/requirements.txt")
    installed = dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;\\]+)", frozen, re.MULTILINE))
    differences = {name for name, release in installed.items() if releases.get(name) != release}
    assert differences == {"uvicorn", "a2wsgi"}, "APP_OVERRIDE=yes; a2wsgi is for uvicorn's WSGI"
    assert len(installed) > 40


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_a_background_task_runs_after_the_answer(guest: Guest, proxy: str) -> None:
    number, _ = post_item(guest, proxy, "a chair")
    mails = wait_until(lambda: guest.get(proxy, f"{API}/items/{number}/mails").json(), 10)
    assert mails == ["New: a chair"]


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_the_applications_log_has_the_request_id(guest: Guest, proxy: str) -> None:
    number, request_id = post_item(guest, proxy, "a table")
    for line in (f"item {number} created", f"mail sent for item {number}"):
        expected = f"{line} request_id={request_id}"
        assert wait_until(lambda text=expected: text in read_logs(guest.container("app")), 10), expected


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_addresses_that_the_application_makes_are_the_sites(guest: Guest, proxy: str) -> None:
    site = f"https://localhost:{guest.https_port(proxy)}"
    assert guest.get(proxy, f"{API}/utils/about").json()["docs"] == f"{site}/docs"
    assert guest.get(proxy, f"{API}/items").headers["Location"] == f"{site}{API}/items/", "a redirect keeps the port"


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_a_websocket_works_over_tls(guest: Guest, proxy: str) -> None:
    address = f"wss://localhost:{guest.https_port(proxy)}{API}/items/ws"
    with connect(address, ssl=guest.tls(), proxy=None, open_timeout=20) as websocket:
        for title in ("a lamp", "é" * 100):
            websocket.send(title)
            item = json.loads(websocket.recv(timeout=20))
            assert (item["title"], item["scheme"]) == (title, "wss")
    items = guest.get(proxy, f"{API}/items/?limit=1000").json()
    assert item["id"] in {each["id"] for each in items}


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_an_event_stream_arrives_piece_by_piece(guest: Guest, proxy: str) -> None:
    moments = []
    with guest.stream(proxy, f"{API}/utils/events?count=5&pause=0.4") as answer:
        while line := answer.readline():
            if line.startswith(b"data: event"):
                moments.append(time.monotonic())
    gaps = [later - sooner for sooner, later in itertools.pairwise(moments)]
    assert len(gaps) == 4
    assert min(gaps) > 0.2, gaps


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_an_upload_of_30_mib_reaches_the_worker(guest: Guest, proxy: str) -> None:
    content = random.Random(proxy).randbytes(30 * MIB)  # noqa: S311
    answer = guest.request(proxy, "POST", f"{API}/files/", files={"file": ("noise.bin", content)})
    assert answer.status_code == 201, answer.text
    record = answer.json()
    assert (record["size"], record["sha256"]) == (30 * MIB, hashlib.sha256(content).hexdigest())
    digest = wait_until(lambda: guest.get(proxy, f"{API}/files/{record['id']}").json()["digest"], 20)
    assert digest == hashlib.blake2b(content).hexdigest(), "the worker has read the file from the volume they share"


def test_a_failing_migration_stops_the_roll_and_the_old_version_goes_on(guest: Guest) -> None:
    before, columns = guest.container("app"), read_columns(guest)
    worker = guest.container("processes")
    add_migration(guest, "0002", "colour", 'op.execute("SELECT 1/0")')
    write_version(guest, "broken")
    done = guest.make("up")
    assert done.returncode != 0
    assert "division by zero" in done.stderr, "the reason"
    last = done.stderr.splitlines()[-2]
    assert last == "up: APP_RELEASE=alembic upgrade head has failed with status 1 (see above): the release ends here"
    assert (guest.container("app"), guest.container("processes")) == (before, worker)
    for proxy in DEFAULT_PROXIES:
        assert guest.get(proxy, f"{API}/utils/about").json()["version"] == "1"
    assert read_columns(guest) == columns, "PostgreSQL takes a failed migration back"
    (guest.source / "app/alembic/versions/0002_colour.py").unlink()


def test_a_new_version_takes_over_without_a_failed_request(guest: Guest) -> None:
    add_migration(guest, "0002", "colour")
    write_version(guest, "2")
    worker = guest.container("processes")
    guest.roll_under_load(f"{API}/utils/about", lambda answer: answer.json()["version"])
    assert read_columns(guest).split()[-1] == "colour"
    assert guest.container("processes") != worker, "the worker is the new version's"
    program = exec_in(guest.container("processes"), "python3", "-c", "import app; print(app.__version__)")
    assert program == "2"


def test_the_worker_ends_gracefully(guest: Guest) -> None:
    worker = guest.container("processes")
    assert wait_until(lambda: "worker started" in read_logs(worker), 20)
    stop(worker, 20)
    assert "worker ended" in read_logs(worker)
    guest.up()


def test_a_server_that_does_not_fit_the_lock_is_explained(guest: Guest) -> None:
    done = guest.make("up", "APP_OVERRIDE=no")
    assert done.returncode != 0
    assert "the project's packages do not fit SERVER=uvicorn (uvicorn[standard]==" in done.stderr, done.stderr
    assert "uvicorn==0.53.0" in done.stderr
    assert "APP_OVERRIDE=yes" in done.stderr
    assert guest.get("nginx", f"{API}/utils/about").json()["version"] == "2", "nothing has changed"


def test_an_export_starts_by_itself(guest: Guest) -> None:
    with exported(guest) as export:
        for proxy in DEFAULT_PROXIES:
            content = random.Random(proxy).randbytes(30 * MIB)  # noqa: S311
            answer = export.request(proxy, "POST", f"{API}/files/", files={"file": ("noise.bin", content)})
            assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()
            path = f"{API}/files/{answer.json()['id']}"
            digest = wait_until(lambda proxy=proxy, path=path: export.get(proxy, path).json()["digest"], 20)
            assert digest == hashlib.blake2b(content).hexdigest()
        assert "0002 (head)" in export.run("./run", "alembic", "current")
