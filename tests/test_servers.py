"""Every server, and every application on one of them, through both proxies and over every HTTP version."""

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.asyncio.client import connect

from apps import contract, serve
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import docker
from tests.support.stack import IMAGES, StackUnderTest, is_open, server_image

SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=http",
    "X_Forwarded_For": "6.6.6.6",
    "X_Forwarded_Proto": "http",
    "Daphne-Root-Path": "/evil",
    "Proxy": "http://evil.example",
}


def test_every_application_keeps_the_contract(served: StackUnderTest, proxy: str, version: str) -> None:
    assert served.serving
    server, interface, app = served.serving
    named = contract.differences(server, interface, proxy, version, app)
    faults = contract.verify(served.sender(proxy, version))
    expected = set(named) & {check.name for check in contract.CHECKS}
    assert faults.keys() - expected == set(), {name: faults[name] for name in faults.keys() - expected}
    assert expected - faults.keys() == set(), "upstream has mended these: take them out of contract.DIFFERENCES"


def test_the_right_server_answers(served: StackUnderTest, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/process", version).json()
    assert (seen["server"], seen["interface"], seen["app"]) == served.serving


POLICIES = """
import json, os, pathlib
found = {}
for one in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        parent = int((one / "stat").read_text().rpartition(")")[2].split()[1])
        threads = [os.sched_getscheduler(int(thread.name)) for thread in (one / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        continue
    if parent:  # neither the container's init nor this look at them
        found[one.name] = threads
print(json.dumps(found))
"""


def test_threads_that_wake_each_other_wait_their_turn(served: StackUnderTest) -> None:
    assert served.serving
    server, interface, _ = served.serving
    script = serve.choose({"SERVER": server, "INTERFACE": interface}).script
    found = json.loads(served.in_app(POLICIES))
    assert found, "no process of the server was found"
    wanted = os.SCHED_BATCH if "chrt --batch" in script.read_text() else os.SCHED_OTHER
    assert {policy for threads in found.values() for policy in threads} == {wanted}, found


def test_the_app_sees_the_real_client_address_and_scheme(served: StackUnderTest, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/request", version).json()
    assert seen["client"][0] == served.gateway()
    assert seen["scheme"] == "https"
    assert seen["headers"]["host"] == f"{SITE}:{served.https_port(proxy)}"


def test_a_client_cannot_choose_its_own_address(served: StackUnderTest, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/request", version, headers=SPOOFED).json()
    assert seen["client"][0] == served.gateway()
    assert seen["scheme"] == "https"
    assert seen["root_path"] == ""
    assert "6.6.6.6" not in json.dumps(seen) and "evil" not in json.dumps(seen)


def test_a_body_of_one_megabyte_arrives_and_comes_back(served: StackUnderTest, proxy: str, version: str) -> None:
    answer = served.request(proxy, "POST", "/echo", version, data=contract.MEGABYTE)
    assert answer.status_code == 200
    assert answer.content == contract.MEGABYTE


def test_a_websocket_echoes_text_and_bytes(served: StackUnderTest, proxy: str) -> None:
    assert served.serving
    url = f"wss://{SITE}:{served.https_port(proxy)}/ws"
    if served.serving[1] == "wsgi":
        # WSGI has no WebSocket: the handshake is a plain request for a path that is not there.
        assert served.get(proxy, "/ws").status_code == 404
        return
    asyncio.run(echo(url, served.tls()))


async def echo(url: str, context: ssl.SSLContext) -> None:
    # The asyncio client: the threaded one of websockets 17.4 loses about one TLS handshake in 300 on Python 3.11.
    async with connect(url, ssl=context, compression=None) as websocket:
        for message in ("olá", b"\x00\xff", "x" * 70_000):
            await websocket.send(message)
            assert await asyncio.wait_for(websocket.recv(), 10) == message


HELD_BACK = [pair for pair in serve.pairs() if "stream" in contract.differences(*pair)]


@pytest.fixture(scope="session", params=[pair for pair in serve.pairs() if pair not in HELD_BACK], ids="-".join)
def stoppable(request: pytest.FixtureRequest, stack: StackUnderTest) -> tuple[StackUnderTest, str, str]:
    """The stack and one server and interface, which each test starts for itself."""
    return stack, *request.param


def test_sigterm_lets_the_request_in_flight_finish(stoppable: tuple[StackUnderTest, str, str], proxy: str) -> None:
    stack, server, interface = stoppable
    stack.serve(server, interface, GRACE="8")  # gunicorn's ASGI worker takes all of it
    container = stack.app()
    with stack.stream(proxy, "/stream/20?pause=100") as answer:
        received = answer.readline()
        # The application has begun and has two seconds to go: the request is in flight.
        assert received == b"chunk 0\n"
        stop = subprocess.Popen(["docker", "stop", container], stdout=subprocess.DEVNULL)
        stopped_at = time.monotonic()
        try:
            while piece := answer.readline():
                received += piece
        except (OSError, http.client.HTTPException):
            pass
        lasted = time.monotonic() - stopped_at
    assert stop.wait(timeout=40) == 0
    finished = received == b"".join(b"chunk %d\n" % n for n in range(20))
    assert not finished or lasted > 1, "the stream was over before the stop: nothing was in flight"
    named = contract.differences(server, interface).get(contract.GRACEFUL_STOP)
    if named:
        assert not finished, f"upstream has mended it, take the difference out: {named.reason}"
    else:
        assert finished, f"broken off after {len(received)} bytes"
    assert stack.compose.inspect(container, "{{.State.ExitCode}} {{.State.OOMKilled}}") in ("0 false", "143 false"), (
        "it had to be killed"
    )
    stack.serving = None


@pytest.mark.parametrize("server", HELD_BACK, ids="-".join)
def test_sigterm_lets_a_reply_that_is_held_back_finish(
    stack: StackUnderTest, server: tuple[str, str], proxy: str
) -> None:
    # Nothing is seen of such a reply before its end: that it is being made shows in the CPU time it takes.
    stack.serve(*server)
    container = stack.app()
    before = cpu_seconds(stack)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(stack.get, proxy, "/burn/4000000")
        assert wait_until(lambda: cpu_seconds(stack) > before + 0.3)
        assert not asked.done(), "it was over before the stop: nothing was in flight"
        docker("stop", container)
        answer = asked.result()
    assert (answer.status_code, answer.json()["rounds"]) == (200, 4_000_000)
    assert stack.compose.inspect(container, "{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"
    stack.serving = None


def cpu_seconds(stack: StackUnderTest) -> float:
    """The CPU time of every process in the app's container, and of this look at them, which is the same each time."""
    script = (
        "import os, pathlib; stats = [p.read_text() for p in pathlib.Path('/proc').glob('[0-9]*/stat')]; "
        "ticks = sum(int(n) for one in stats for n in one.rpartition(')')[2].split()[11:13]); "
        "print(ticks / os.sysconf('SC_CLK_TCK'))"
    )
    return float(stack.in_app(script))


def test_one_hypercorn_worker_does_let_the_request_finish(stack: StackUnderTest) -> None:
    # The way out of hypercorn's named difference: one worker a container, and more containers.
    stack.serve("hypercorn", "asgi", WORKERS="1")
    with stack.stream("nginx", "/stream/20?pause=100") as answer:
        received = answer.readline()
        stop = subprocess.Popen(["docker", "stop", stack.app()], stdout=subprocess.DEVNULL)
        received += answer.read()
    assert stop.wait(timeout=40) == 0
    assert received == b"".join(b"chunk %d\n" % n for n in range(20))


# Seconds that the proxies keep an idle connection (snippets/upstream), and a little.
PATIENCE = 15 + 2
NO_KEEPALIVE = {"gunicorn-sync", "wsgiref"}
STOCK = {
    "gunicorn gthread, stock": "gunicorn -k gthread --no-control-socket -b 0.0.0.0:8000 apps.wsgi.bare:app",
    "uvicorn, stock": "uvicorn --host 0.0.0.0 apps.asgi.bare:app",
    "hypercorn, stock": "hypercorn -b 0.0.0.0:8000 asgi:apps.asgi.bare:app",
}


def test_an_idle_connection_outlives_the_proxies_patience(stack: StackUnderTest) -> None:
    """All servers at once, each asked twice on one connection with the proxies' patience in between."""
    name = f"{stack.compose.project}-idle"
    commands: dict[str, list[str]] = {label: command.split() for label, command in STOCK.items()}
    image = dict.fromkeys(commands, f"{IMAGES}-app")
    for server, interface in serve.pairs():
        image[f"{server} {interface}"] = server_image(server, interface)
        commands[f"{server} {interface}"] = [
            "env",
            f"SERVER={server}",
            f"INTERFACE={interface}",
            "python3",
            "/srv/apps/serve.py",
        ]
    started: dict[str, str] = {}
    connections: dict[str, http.client.HTTPConnection] = {}
    label_of_ours = ("--label", f"{LABEL}.project={stack.compose.project}")
    docker("network", "create", *label_of_ours, name)
    try:
        for label, command in commands.items():
            run = ["run", "--detach", "--network", name, *label_of_ours, "--env", "WORKERS=1", "--env", "THREADS=2"]
            started[label] = docker(*run, image[label], *command)
        for label, container in started.items():
            template = f'{{{{(index .NetworkSettings.Networks "{name}").IPAddress}}}}'
            address = stack.compose.inspect(container, template)
            assert wait_until(lambda address=address: is_open(address, 8000), 60), (
                f"{label}: {stack.compose.logs(container)}"
            )
            connections[label] = http.client.HTTPConnection(address, 8000, timeout=10)
            connections[label].request("GET", "/live")
            assert connections[label].getresponse().read() == b"ok\n"
            connections[label].auto_open = 0  # a second connection would hide that the first is closed
        time.sleep(PATIENCE)
        closed = {label for label, connection in connections.items() if not answers(connection)}
    finally:
        docker("rm", "--force", *started.values(), check=False)
        docker("network", "rm", name, check=False)
    never = {label for label in commands if label.split()[0] in NO_KEEPALIVE}
    assert closed - never == set(STOCK), "with our settings a connection stays; with stock ones it does not"
    assert never <= closed, "these closed after every reply, as their scripts say"


def answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/live")
        return connection.getresponse().read() == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
