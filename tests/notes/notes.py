"""A WSGI application that keeps notes: in PostgreSQL, in a SQLite database and in files of /data.

Each request opens its own connections, so that a password which is no longer right is met at once.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg

DATA = Path("/data")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """POST /notes adds a note to each store. GET /notes counts them. /ready needs the table."""
    try:
        if environ["PATH_INFO"] == "/ready":
            read("SELECT count(*) FROM notes")
        answer = add() if environ["REQUEST_METHOD"] == "POST" else count()
    except (psycopg.Error, sqlite3.Error) as error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [f"{type(error).__name__}: {error}".encode()]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def read(statement: str) -> list[Any]:
    """The first row that PostgreSQL returns; PGHOST and its like name the database."""
    with psycopg.connect() as connection:
        return list(connection.execute(statement).fetchone() or ())


def open_sqlite() -> sqlite3.Connection:
    """The SQLite database, with a log beside it that holds what is new."""
    connection = sqlite3.connect(DATA / "notes.sqlite", timeout=20)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE IF NOT EXISTS notes (number integer)")
    return connection


def add() -> dict[str, Any]:
    """Adds a note."""
    (number,) = read("INSERT INTO notes DEFAULT VALUES RETURNING number")
    with open_sqlite() as connection:
        connection.execute("INSERT INTO notes VALUES (?)", (number,))
    connection.close()
    (DATA / f"note {number}.txt").write_text(str(number))
    return {"number": number}


def count() -> dict[str, Any]:
    """The number of notes in each store, and the role that PostgreSQL sees."""
    in_sqlite = open_sqlite()
    try:
        total, session, current = read("SELECT count(*), session_user, current_user FROM notes")
        (rows,) = in_sqlite.execute("SELECT count(*) FROM notes").fetchone()
        (sound,) = in_sqlite.execute("PRAGMA integrity_check").fetchone()
    finally:
        in_sqlite.close()
    files = len(list(DATA.glob("note *.txt")))
    roles = {"session": session, "current": current, "environment": os.environ["PGUSER"]}
    return {"postgres": total, "sqlite": rows, "files": files, "sound": sound, "roles": roles} | {
        "key": os.environ.get("SECRET_KEY", "")
    }
