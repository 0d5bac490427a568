"""Somebody's application on every server: what it finds around itself, and what the health check asks it."""

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps import named_differences
from apps.runtime import container, serve
from stack import ROOT
from stack.build import build
from stack.compose import LABEL, Compose
from stack.waiting import wait_until
from tests.support.engine import (
    address_in,
    create_network,
    exec_status,
    read_logs,
    remove,
    remove_network,
    run_detached,
    run_once,
    stop,
)
from tests.support.stack import IMAGES, PREFIX, own_environment, server_image

pytestmark = pytest.mark.full
SITE = ROOT / "tests/guest/site.py"
HOST = "shop.example"
VALUE = "a$b 'c' é"
LOG_LINE = 'guest: é "quoted" \\ back'
PAIRS = serve.pairs()


class Guests:
    """Every server with the guest application, each in a container of its own."""

    def __init__(self, network: str, containers: dict[tuple[str, str], str]) -> None:
        self.network, self.containers = network, containers
        self.surroundings: dict[tuple[str, str], dict[str, Any]] = {}

    def ask(self, pair: tuple[str, str]) -> dict[str, Any]:
        """What the application on this server finds. Asked once."""
        if pair not in self.surroundings:
            address = address_in(self.containers[pair], self.network)
            connection = http.client.HTTPConnection(address, 8000, timeout=30)
            connection.request("GET", "/surroundings", headers={"Host": HOST, "X-Forwarded-Proto": "https"})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            self.surroundings[pair] = json.loads(response.read())
        return self.surroundings[pair]


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Builds the application's image where it is missing."""
    build(Compose(own_environment("guest")), [])


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """Starts every server at the same time, and waits for the health check of each."""
    folder = tmp_path_factory.mktemp("guest")
    secret = folder / "secret_key"
    secret.write_text(f"{VALUE}\n")
    secret.chmod(0o444)
    network = f"{PREFIX}-guest-{os.getpid()}"
    labels = {f"{LABEL}.project": network}
    create_network(network, labels)
    containers: dict[tuple[str, str], str] = {}
    try:
        for server, interface in PAIRS:
            containers[server, interface] = run_detached(
                server_image(server, interface),
                network=network,
                labels=labels,
                init=True,
                read_only=True,
                tmpfs={"/tmp": "uid=10001,gid=10001,mode=0700"},
                volumes=[
                    f"{SITE}:/app/guest/site.py:ro",
                    f"{secret}:/run/secrets/secret_key:ro",
                ],
                environment={
                    **{"SERVER": server, "INTERFACE": interface, "APP": "guest.site:app", "WORKERS": "auto"},
                    **{"DOMAIN": f"{HOST} other.example", "HEALTH_PATH": "/health"},
                    "PYTHONPATH": "/app:/srv:/opt/mod_wsgi",
                    "SECRET_KEY_FILE": "/run/secrets/secret_key",
                },
                nano_cpus=1_000_000_000,
            )
        yield Guests(network, containers)
    finally:
        remove(*containers.values())
        remove_network(network)


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each server with each of its interfaces."""
    return request.param


def test_the_health_check_asks_as_the_sites_client(guests: Guests, pair: tuple[str, str]) -> None:
    container = guests.containers[pair]
    check = ("python3", "/srv/app_runtime/healthcheck.py")

    def is_ready() -> bool:
        return exec_status(container, *check)[0] == 0

    assert wait_until(is_ready, 60), (exec_status(container, *check), read_logs(container))


def test_an_application_finds_a_user_a_home_and_its_secret(guests: Guests, pair: tuple[str, str]) -> None:
    seen = guests.ask(pair)
    assert (seen["user"], seen["home"], seen["secret"]) == ("app", "/tmp", VALUE)
    assert seen["workers"] == "1", "the container has one CPU"


def test_every_asgi_server_runs_the_lifespan(guests: Guests, pair: tuple[str, str]) -> None:
    assert guests.ask(pair)["lifespan"] == (["lifespan.startup"] if pair[1] == "asgi" else [])


def test_an_application_can_start_processes(guests: Guests, pair: tuple[str, str]) -> None:
    answer = guests.ask(pair)["pool"]
    if named := named_differences.differences(*pair).get(named_differences.PROCESS_POOL):
        assert answer != "1024", f"upstream has mended this, take the difference out: {named.reason}"
    else:
        assert answer == "1024"


def test_an_application_logs_the_same_bytes_on_every_server(guests: Guests, pair: tuple[str, str]) -> None:
    guests.ask(pair)
    lines = wait_until(lambda: [line for line in read_logs(guests.containers[pair]).splitlines() if "guest:" in line])
    assert lines
    if named := named_differences.differences(*pair).get(named_differences.LOG_LINES):
        assert LOG_LINE not in lines, f"upstream has mended this, take the difference out: {named.reason}"
    else:
        assert lines[0] == LOG_LINE


def test_daphne_ends_the_lifespan_at_a_stop(guests: Guests) -> None:
    container = guests.containers["daphne", "asgi"]
    guests.ask(("daphne", "asgi"))
    stop(container, 20)
    assert "guest: shutdown" in read_logs(container).splitlines()


def test_variables_of_the_applications_own_file_reach_it_and_a_change_swaps_it(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_text("SECRET_KEY='a$b c'\nDATABASE_URL=postgres://x\nSERVER=nope\n")
    compose = Compose(own_environment(f"variables-{os.getpid()}") | {"APP_ENV_FILE": str(file)})
    before = compose.config_hashes["app"]
    script = "import os; print(os.environ['SECRET_KEY'], os.environ['DATABASE_URL'], repr(os.environ['SERVER']))"
    try:
        output = compose.run("run", "--rm", "--no-deps", "--no-TTY", "app", "python3", "-c", script)
        assert output.strip() == "a$b c postgres://x ''", "a setting of the stack is not the application's"
    finally:
        compose.run("down", "--volumes")
    file.write_text("SECRET_KEY=other\n")
    assert Compose(compose.environment).config_hashes["app"] != before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"nano_cpus": 1_000_000_000}, 1),
        ({"nano_cpus": 500_000_000}, 1),
        ({"mem_limit": "200m"}, 1),
    ],
    ids=str,
)
def test_auto_workers_follow_the_containers_limits(options: dict[str, Any], expected: int | None) -> None:
    script = "import os; from app_runtime import container as c; print(c.count_workers(), len(os.sched_getaffinity(0)))"
    workers, cores = map(int, run_once(f"{IMAGES}-app", "-c", script, entrypoint="python3", **options).split())
    assert workers == (cores if expected is None else expected)


@pytest.mark.parametrize(
    ("files", "workers", "pids"),
    [
        ({"cpu.max": "100000 100000\n", "memory.max": "max\n", "pids.max": "99\n"}, 1, 99),
        ({"cpu.max": "max 100000\n", "memory.max": "134217728\n", "pids.max": "max\n"}, 1, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n", "pids/pids.max": "99\n"}, 1, 99),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, len(os.sched_getaffinity(0)), None),
    ],
    ids=["version 2", "version 2 without limits", "version 1", "version 1 without limits"],
)
def test_both_versions_of_control_groups_are_read(
    tmp_path: Path, files: dict[str, str], workers: int, pids: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (container.count_workers(tmp_path), container.read_pids_limit(tmp_path)) == (workers, pids)


def test_more_threads_than_the_container_may_have_are_refused() -> None:
    settings = {"SERVER": "gunicorn", "INTERFACE": "wsgi", "WORKERS": "2", "THREADS": "200"}
    output = run_once(f"{IMAGES}-app", check=False, environment=settings, pids_limit=256)
    assert output == (
        "serve: WORKERS=2 and THREADS=200 need about 496 processes and threads, and APP_PIDS=256 allows fewer: "
        "raise APP_PIDS, or give fewer workers or threads"
    )


def test_a_secret_that_cannot_be_read_is_named() -> None:
    settings = {"SECRET_KEY_FILE": "/run/secrets/nothing", "SSL_CERT_FILE": "/nowhere"}
    output = run_once(f"{IMAGES}-app", check=False, environment=settings)
    assert output.startswith("serve: SECRET_KEY_FILE=/run/secrets/nothing cannot be read by user 10001:")
    assert len(output.splitlines()) == 1
