"""What runs beside the stack, or is copied from it: PostgreSQL, the bench's page, the files for production."""

import json
import os
import re
import signal
import subprocess
import urllib.request

from stack.waiting import wait_until
from tests.support.checkout import Checkout, complaint
from tests.support.engine import client, exec_in, inspect, read_logs
from tests.support.stack import free_port


def start_postgresql(checkout: Checkout, password: str) -> str:
    """Runs `make up` with PostgreSQL; the database's container."""
    settings = f"COMPOSE_PROFILES=postgres\nPOSTGRES_PASSWORD='{password}'\nPROXY=caddy\n"
    (checkout.folder / ".env").write_text(settings)
    done = checkout.make("up")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  postgres +for the app", done.stdout, re.MULTILINE), done.stdout
    return checkout.container("postgres")


def query(container: str, sql: str, **environment: str) -> str:
    """What psql prints inside the database's container."""
    return exec_in(container, "psql", "--no-psqlrc", "-qAt", "-c", sql, check=False, environment=environment)


def as_app(password: str) -> dict[str, str]:
    """How psql connects over TCP as the application's user."""
    return {"PGHOST": "127.0.0.1", "PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": password}


def test_postgresql_runs_where_its_profile_asks_for_it(checkout: Checkout) -> None:
    try:
        first = start_postgresql(checkout, "a $first")
        details = inspect(first)
        host = details["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["PidsLimit"]) == (True, ["ALL"], 256)
        assert host["Memory"] > 0 and "no-new-privileges:true" in host["SecurityOpt"] and not host["PortBindings"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", details["Config"]["User"])
        assert details["Config"]["StopSignal"] == "SIGINT"
        assert list(details["NetworkSettings"]["Networks"]) == [f"{checkout.project}_data"], (
            "the proxies are not in its network"
        )

        # The application has the database's address, user and password in its environment, and reaches it.
        script = (
            "import os, socket as s; s.create_connection((os.environ['PGHOST'], 5432)); print(os.environ['PGPASSWORD'])"
        )
        assert exec_in(checkout.container("app"), "python3", "-c", script) == "a $first"
        assert query(first, "CREATE TABLE kept AS SELECT 42", **as_app("a $first")) == ""
        assert "password authentication failed" in query(first, "SELECT 1", **as_app("other"))
        superuser = as_app("a $first") | {"PGUSER": "postgres"}
        assert "password authentication failed" in query(first, "SELECT 1", **superuser)
        assert query(first, "SELECT 1", PGUSER="postgres") == "1", "the superuser cannot come from inside"

        # A new password holds from the next start on, and the data stay.
        second = start_postgresql(checkout, "second")
        assert second != first
        assert query(second, "TABLE kept", **as_app("second")) == "42"
        assert "password authentication failed" in query(second, "SELECT 1", **as_app("a $first"))
        client().api.stop(second)
        assert inspect(second)["State"]["ExitCode"] == 0
        assert "database system is shut down" in read_logs(second)
    finally:
        (checkout.folder / ".env").unlink()
    assert checkout.destroy().returncode == 0
    assert checkout.left() == []


def read_statistics(page: str) -> dict[str, int]:
    """What Locust counted of the requests to `/`; empty before the first of them."""
    with urllib.request.urlopen(f"{page}/stats/requests") as answer:
        return next((row for row in json.load(answer)["stats"] if row["name"] == "/"), {})


def count_requests(page: str, process: subprocess.Popen[str]) -> int:
    """The requests so far, while the command runs."""
    assert process.poll() is None
    return read_statistics(page).get("num_requests", 0)


def test_the_page_of_the_bench_loads_the_running_stack_and_ends_with_ctrl_c(checkout: Checkout) -> None:
    assert complaint(checkout.make("bench-ui")) == (
        "bench-ui: the stack is not up: no app container runs; `make up` starts it"
    )
    assert checkout.make("up", "SERVER=granian", "PROXY=caddy").returncode == 0
    running, port = checkout.left(), free_port()
    page = f"http://127.0.0.1:{port}"
    process = checkout.start_make("bench-ui", f"UI_PORT={port}")
    try:
        assert process.stdout
        output = []
        for line in process.stdout:
            output.append(line)
            if "Ctrl-C" in line or "Error" in line:
                break
        assert output[-1] == f"bench-ui: {page} asks https://caddy:8443; Ctrl-C ends it\n", "".join(output)
        with urllib.request.urlopen(page) as answer:
            shown = answer.read().decode()
        assert "Hello" in shown and "Wait100" in shown  # the classes to pick from
        load = b"user_count=2&spawn_rate=2&user_classes=Hello"
        with urllib.request.urlopen(f"{page}/swarm", load) as answer:
            assert json.load(answer)["success"]
        assert wait_until(lambda: count_requests(page, process), 60)
        assert read_statistics(page)["num_failures"] == 0
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and all that it runs
        rest = process.communicate(timeout=60)[0]
    assert "bench-ui: ended" in rest and "Traceback" not in rest
    assert checkout.left() == running
    wrong = checkout.make("bench-ui", "UI_PORT=http")
    assert complaint(wrong) == "bench-ui: UI_PORT=http is not a port: give a number from 1 to 65535"
