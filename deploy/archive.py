"""Writes the folder /volume as tar.gz to stdout, while others write in it. ./backup runs this in the app's image.

SQLite's databases are copied by SQLite itself: their files, read one after the other, would not fit together.
"""

import contextlib
import gzip
import os
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path("/volume")
HEADER = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")  # files beside a SQLite database that belong to it


def main() -> None:
    """Writes the archive. Files that vanish meanwhile are left out."""
    with (
        gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=1) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in list_paths():
            with contextlib.suppress(FileNotFoundError):
                add(archive, path)


def list_paths() -> Iterator[Path]:
    """The folder and all that is in it, each folder before its files. Without what an unfinished ./restore left."""
    yield ROOT
    for folder, folders, files in os.walk(ROOT):
        if Path(folder) == ROOT:
            folders[:] = [name for name in folders if not name.startswith(".restore-")]
        databases = {name for name in files if is_database(Path(folder, name))}
        beside = {name + end for name in databases for end in BESIDE}
        yield from (Path(folder, name) for name in sorted([*folders, *files]) if name not in beside)


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return file.read(len(HEADER)) == HEADER
    return False


def add(archive: tarfile.TarFile, path: Path) -> None:
    """Adds one path to the archive."""
    entry = archive.gettarinfo(str(path), str(path.relative_to(ROOT)))
    if entry is None:  # a socket
        return
    if not entry.isreg():
        archive.addfile(entry)
        return
    if is_database(path):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)  # noqa: PTH101, S103 - the owner of the database writes there
            copy = Path(folder, "copy")
            add_file(archive, entry, copy if copy_database(path, copy, entry) else path)
    else:
        add_file(archive, entry, path)


def add_file(archive: tarfile.TarFile, entry: tarfile.TarInfo, source: Path) -> None:
    """Adds a file with the size that it has now, because it may grow meanwhile."""
    with source.open("rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        archive.addfile(entry, file)


def copy_database(path: Path, copy: Path, entry: tarfile.TarInfo) -> bool:
    """Copies a SQLite database as its owner, because SQLite makes files beside it. False where SQLite cannot."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(entry.gid)
            os.setuid(entry.uid)
            with (
                contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=30)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            status = 0
        except (OSError, sqlite3.Error) as error:
            print(f"{path.relative_to(ROOT)}: {error}: copied as a plain file", file=sys.stderr)
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


main()
