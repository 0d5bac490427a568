"""Backup and restore, another major release of PostgreSQL, a new password: the pages of docs/ on data."""

import os
import re
import signal
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import exec_in, inspect
from tests.support.notes import NEXT_MAJOR, PASSWORD, Load, Notes, build_image, read_commands, running

pytestmark = pytest.mark.full
STORES = ("postgres", "sqlite", "files")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    with running(tmp_path_factory.mktemp("notes")) as deployment:
        deployment.add(3)
        yield deployment


@pytest.fixture(scope="module")
def backup(notes: Notes) -> Path:
    """A backup that was taken while notes were added."""
    return take_backup_under_load(notes)


def take_backup_under_load(notes: Notes) -> Path:
    notes.query("CREATE ROLE reader LOGIN; GRANT SELECT ON notes TO reader; ALTER DATABASE app SET work_mem = '7MB'")
    with Load(notes, "POST") as load:
        before = load.answers.total()
        notes.must("sh", "-euc", read_commands("backup.md", "Back up"))
        during = load.answers.total() - before
    assert set(load.answers) == {"200"} and during >= 20, load.answers
    (folder,) = (notes.home / "backups").iterdir()
    return folder


def stores(notes: Notes) -> tuple[int, ...]:
    """The number of notes in each store."""
    counts = notes.count()
    assert counts["sound"] == "ok"
    return tuple(counts[name] for name in STORES)


def test_a_backup_taken_under_load_brings_the_data_back(notes: Notes, backup: Path) -> None:
    assert (backup.stat().st_mode & 0o777, (backup / "app.dump").stat().st_mode & 0o777) == (0o700, 0o600)
    names = sorted(file.name for file in backup.iterdir())
    volumes = [f"{name}.tar.gz" for name in ("certs", "data", "media")]
    assert names == sorted(["SHA256SUMS", "about", "app.dump", "roles.sql", *volumes])
    with tarfile.open(backup / "data.tar.gz") as archive:
        assert not [name for name in archive.getnames() if name.endswith(("-wal", "-shm"))]
        archive.extract("notes.sqlite", backup.parent.parent, filter="data")
    copy = sqlite3.connect(backup.parent.parent / "notes.sqlite")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()

    later = stores(notes)
    notes.query("DROP TABLE notes; DROP OWNED BY reader; DROP ROLE reader; ALTER DATABASE app RESET work_mem")
    exec_in(notes.container("app"), "sh", "-c", "rm /data/note*; touch /data/.other; chmod 700 /data")
    notes.must("sh", "-euc", read_commands("backup.md", "Restore"))
    postgres, sqlite, files = stores(notes)
    # The databases come first, and the rows of a note before its file.
    assert 3 <= postgres <= min(sqlite, files) + 1 < later[0]
    assert notes.query("SELECT has_table_privilege('reader', 'notes', 'SELECT')") == "t"
    assert notes.query("SHOW work_mem") == "7MB"
    listing = exec_in(
        notes.container("app"), "sh", "-c", "ls -A /data | grep -v '^note'; stat -c '%a %u' /data /data/notes.sqlite"
    )
    assert listing.split() == ["755", "10001", "644", "10001"], (
        "no file of the present data, and owners and modes as they were"
    )
    assert list_leftovers(notes) == ""
    notes.add()


def list_leftovers(notes: Notes) -> str:
    """The databases and folders that a restore makes for itself."""
    folders = exec_in(notes.container("app"), "find", "/data", "-maxdepth", "1", "-name", ".restore-*")
    return folders + notes.query("SELECT datname FROM pg_database WHERE datname LIKE '%.%'")


def describe_state(notes: Notes) -> tuple[object, ...]:
    """The data, and since when each container runs."""
    containers = (notes.container(service) for service in ("app", "nginx", "postgres"))
    return stores(notes), [inspect(container)["State"]["StartedAt"] for container in containers]


@pytest.mark.deployments
@pytest.mark.parametrize("damage", ["changed", "missing", "added", "format"])
def test_a_damaged_backup_changes_nothing(notes: Notes, backup: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(backup), str(copy)], check=True)
    if damage == "changed":
        with (copy / "app.dump").open("r+b") as file:
            file.seek(-20, os.SEEK_END)
            file.write(b"x")
    elif damage == "missing":
        (copy / "data.tar.gz").unlink()
    elif damage == "added":
        (copy / "other.dump").write_bytes(b"")
    else:
        (copy / "about").write_text((copy / "about").read_text().replace("format 1", "format 2"))
    before = describe_state(notes)
    done = notes.run("./restore", "--yes", str(copy))
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 1, done.stdout
    reason = "the backup has the format 2, and this script reads 1" if damage == "format" else "the backup is damaged: "
    assert done.stdout.startswith(f"restore: {reason}")
    assert describe_state(notes) == before


@pytest.mark.deployments
def test_a_backup_is_whole_or_not_there(notes: Notes, tmp_path: Path) -> None:
    process = notes.start_script("./backup", str(tmp_path))
    assert process.stdout and process.stdout.readline() == "backup: the database app\n"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []
    notes.query('CREATE DATABASE "a b"')
    try:
        done = notes.run("./backup", str(tmp_path))
        assert (done.returncode, done.stdout) == (1, "backup: the name of the database a b is no name of a file\n")
        assert list(tmp_path.iterdir()) == []
    finally:
        notes.query('DROP DATABASE "a b"')


# Lines after which Ctrl-C comes. Before the data change places, the old ones stay; afterwards the new ones are there.
MOMENTS = {"reading the volume data": False, "changing places": True}


@pytest.mark.deployments
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_restore_leaves_the_old_data_or_the_new(notes: Notes, backup: Path, moment: str) -> None:
    notes.add(2)
    old = stores(notes)
    process = notes.start_script("./restore", "--yes", str(backup))
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if moment in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    output += process.communicate(timeout=100)[0]
    assert moment in output
    notes.wait()
    new = stores(notes)
    if MOMENTS[moment]:
        assert process.returncode == 0, output
        assert new[0] < old[0] and new[0] <= min(new[1:]) + 1
    else:
        assert process.returncode == 130, output
        assert new == old
        assert output.endswith("restore: the old data are as they were\n")
    assert list_leftovers(notes) == ""


@pytest.mark.deployments
def test_data_with_which_the_app_is_not_ready_go_again(notes: Notes, tmp_path: Path) -> None:
    notes.query("ALTER TABLE notes RENAME TO others")
    try:
        notes.must("./backup", str(tmp_path))
    finally:
        notes.query("ALTER TABLE others RENAME TO notes")
    notes.add(2)
    old = stores(notes)
    (folder,) = tmp_path.iterdir()
    done = notes.run("./restore", "--yes", str(folder), START_TIMEOUT="3")
    assert done.returncode == 1
    assert "restore: the app is not ready with these data" in done.stdout
    assert done.stdout.endswith("restore: the old data are as they were\n")
    notes.wait()
    assert stores(notes) == old
    assert list_leftovers(notes) == ""


@pytest.mark.deployments
def test_the_password_changes_under_load(notes: Notes) -> None:
    """The page's command, twice: from the owner's role to the first, and on to the second."""
    before, postgres = stores(notes), notes.container("postgres")
    for role, ended in (("app_1", "app"), ("app_2", "app_1")):
        (password,) = notes.must("docker", "compose", "exec", "-T", "app", "printenv", "PGPASSWORD").splitlines()
        with Load(notes, "GET") as load:
            assert ended == notes.count()["roles"]["session"]
            output = notes.must("sh", "-euc", read_commands("secrets.md", "PostgreSQL's password"))
        assert set(load.answers) == {"200"} and load.answers.total() >= 100, load.answers
        assert notes.count()["roles"] == {"session": role, "current": "app", "environment": role}
        assert password not in output
        refused = notes.query("SELECT 1", PGHOST="127.0.0.1", PGUSER=ended, PGPASSWORD=password)
        assert "password authentication failed" in refused or "not permitted to log in" in refused
    assert stores(notes) == before
    assert notes.container("postgres") == postgres and inspect(postgres)["RestartCount"] == 0
    # The old password does not come back with a restart, and what the app makes belongs to the owner's role.
    notes.must("docker", "compose", "restart", "postgres")
    notes.must("docker", "compose", "up", "--detach", "--wait", "--no-build", "postgres")
    refused = notes.query("SELECT 1", PGHOST="127.0.0.1", PGUSER="app", PGPASSWORD=PASSWORD)
    assert "not permitted to log in" in refused
    notes.add()


@pytest.mark.deployments
def test_a_secret_in_a_file_changes_under_load(notes: Notes) -> None:
    (notes.folder / "secrets").mkdir()
    (notes.folder / "secrets/secret_key").write_text("old")
    override = (notes.folder / "compose.override.yaml").read_text()
    app = "app: {secrets: [secret_key], environment: {SECRET_KEY_FILE: /run/secrets/secret_key}}"
    (notes.folder / "compose.override.yaml").write_text(
        override.replace("services: {", f"secrets: {{secret_key: {{file: ./secrets/secret_key}}}}\nservices: {{{app}, ")
    )
    try:
        notes.must("./roll", "--to", "latest")
        assert notes.count()["key"] == "old"
        with Load(notes, "GET") as load:
            notes.must("sh", "-euc", read_commands("secrets.md", "A secret of the application"))
        assert set(load.answers) == {"200"} and load.answers.total() >= 50, load.answers
        assert notes.count()["key"] == (notes.folder / "secrets/secret_key").read_text() != "old"
    finally:
        (notes.folder / "compose.override.yaml").write_text(override)


@pytest.mark.deployments
def test_the_page_makes_a_hash_for_the_admin_area(notes: Notes) -> None:
    output = notes.must("sh", "-euc", read_commands("secrets.md", "The admin area's password"))
    assert re.fullmatch(r"\$2[aby]\$10\$[./A-Za-z0-9]{53}", output.splitlines()[-1])


@pytest.fixture(scope="module")
def next_major(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with the next major release."""
    folder, name = tmp_path_factory.mktemp("postgres"), "stack-base:postgres-next"
    (folder / "Dockerfile").write_text(NEXT_MAJOR)
    build_image(folder, name)
    return name


@pytest.mark.deployments
def test_another_major_release_does_not_start_beside_the_data(notes: Notes, next_major: str) -> None:
    image = f"{notes.project}-next"
    build_image(notes.folder / "postgres", image, POSTGRES_IMAGE=next_major)
    volume = f"{notes.project}_postgres:/var/lib/postgresql"
    command = ["docker", "run", "--rm", "--env", "POSTGRES_PASSWORD=x", "--volume", volume, image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    subprocess.run(["docker", "image", "rm", image], capture_output=True, check=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "postgres: the volume has the data of PostgreSQL 18, and this is 19: go back to postgres:18 in POSTGRES_IMAGE, "
        "or follow docs/postgresql-upgrade.md\n"
    )


@pytest.mark.deployments
def test_the_page_upgrades_the_major_release(notes: Notes, next_major: str) -> None:
    before = stores(notes)
    commands = read_commands("postgresql-upgrade.md")
    assert commands.count("postgres:19") == 1
    notes.must("sh", "-euc", commands.replace("postgres:19", next_major))
    notes.wait()
    assert stores(notes) == before
    assert notes.query("SHOW server_version_num").startswith("19")
    assert exec_in(notes.container("postgres"), "ls", "/var/lib/postgresql") == "19"
    notes.add()


@pytest.mark.deployments
def test_a_backup_is_restored_on_a_host_that_has_nothing(notes: Notes, backup: Path) -> None:
    """The page's commands, after the deployment's containers, networks and volumes are gone."""
    notes.must("docker", "compose", "down", "--volumes")
    commands = read_commands("backup.md", "On another host")
    notes.must("sh", "-euc", commands.replace("docker compose build\n", "").replace("./roll", "./roll --to latest"))
    notes.wait()
    postgres, sqlite, files = stores(notes)
    assert 3 <= postgres <= min(sqlite, files) + 1
