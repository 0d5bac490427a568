"""Every server, and every application on one of them, behind the proxies and over every HTTP version."""

import asyncio
import http.client
import json
import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.asyncio.client import connect

from apps import contract, named_differences
from apps.runtime import serve
from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.clients import SITE
from tests.support.engine import address_in, create_network, read_end, remove, remove_network, run_detached, stop
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
    named = named_differences.differences(server, interface, proxy, version, app)
    faults = contract.verify(served.sender(proxy, version))
    expected = set(named) & {check.name for check in contract.CHECKS}
    assert faults.keys() - expected == set(), {name: faults[name] for name in faults.keys() - expected}
    assert expected - faults.keys() == set(), "upstream has mended these: take them out of the named differences"


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_every_server_takes_the_largest_head(served: StackUnderTest, proxy: str, version: str) -> None:
    assert served.serving
    server, interface, app = served.serving
    named = named_differences.differences(server, interface, proxy, version, app)
    faults = contract.verify(served.sender(proxy, version), contract.LARGE)
    assert faults.keys() == named.keys() & {check.name for check in contract.LARGE}, faults


def test_the_right_server_answers(served: StackUnderTest, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/process", version).json()
    assert (seen["server"], seen["interface"], seen["app"]) == served.serving


# Prints the scheduling policies of every process in a container, but for its init and this script.
POLICIES = """
import json, os, pathlib
policies = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        threads = [os.sched_getscheduler(int(thread.name)) for thread in (process / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        continue
    if parent:
        policies[process.name] = threads
print(json.dumps(policies))
"""


def test_threads_that_wake_each_other_wait_their_turn(served: StackUnderTest) -> None:
    assert served.serving
    server, interface, _ = served.serving
    script = serve.choose({"SERVER": server, "INTERFACE": interface}).script
    policies = json.loads(served.in_app(POLICIES))
    assert policies, "no process of the server was seen"
    expected = os.SCHED_BATCH if "chrt --batch" in script.read_text() else os.SCHED_OTHER
    assert {policy for threads in policies.values() for policy in threads} == {expected}, policies


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
        # WSGI has no WebSocket. The handshake is a plain request for a path that does not exist.
        assert served.get(proxy, "/ws").status_code == 404
        return
    asyncio.run(echo(url, served.tls()))


async def echo(url: str, context: ssl.SSLContext) -> None:
    # The asyncio client, because the threaded client of websockets 17.4 loses about one TLS handshake in 300 on Python
    # 3.11.
    async with connect(url, ssl=context, compression=None) as websocket:
        for message in ("olá", b"\x00\xff", "x" * 70_000):
            await websocket.send(message)
            assert await asyncio.wait_for(websocket.recv(), 10) == message


# Servers that send nothing of a reply before its end.
HELD_BACK = [pair for pair in serve.pairs() if "stream" in named_differences.differences(*pair)]


STREAM = "/stream/20?pause=100"  # 20 chunks in two seconds
CHUNKS = b"".join(b"chunk %d\n" % number for number in range(20))
# Seconds for the requests in flight, which a server gets when it is told to stop. gunicorn's ASGI worker takes all of
# them while a connection is open. So they are as few as the stream and a busy machine need.
GRACE = "5"


@pytest.fixture(scope="session", params=[pair for pair in serve.pairs() if pair not in HELD_BACK], ids="-".join)
def stoppable(request: pytest.FixtureRequest, stack: StackUnderTest) -> tuple[StackUnderTest, str, str]:
    """The stack, and a server and its interface, which each test starts for itself."""
    return stack, *request.param


def test_sigterm_lets_the_request_in_flight_finish(stoppable: tuple[StackUnderTest, str, str], proxy: str) -> None:
    stack, server, interface = stoppable
    stack.serve(server, interface, GRACE=GRACE)
    container = stack.app()
    with ThreadPoolExecutor(1) as background, stack.stream(proxy, STREAM) as answer:
        received = answer.readline()
        assert received == b"chunk 0\n"  # the request is in flight, and its reply takes two more seconds
        end = background.submit(stop, container)
        stopped_at = time.monotonic()
        try:
            while piece := answer.readline():
                received += piece
        except (OSError, http.client.HTTPException):
            pass
        lasted = time.monotonic() - stopped_at
        end.result(timeout=40)
    finished = received == CHUNKS
    assert not finished or lasted > 1, "the stream was over before the stop: nothing was in flight"
    named = named_differences.differences(server, interface).get(named_differences.GRACEFUL_STOP)
    if named:
        assert not finished, f"upstream has mended this, take the difference out: {named.reason}"
    else:
        assert finished, f"broken off after {len(received)} bytes"
    assert read_end(container) in ((0, False), (143, False)), "the server had to be killed"
    stack.serving = None


@pytest.mark.full
@pytest.mark.parametrize("server", HELD_BACK, ids="-".join)
def test_sigterm_lets_a_reply_that_is_held_back_finish(
    stack: StackUnderTest, server: tuple[str, str], proxy: str
) -> None:
    # A client sees nothing of such a reply before its end. So the CPU time of the app shows that the request runs.
    stack.serve(*server)
    container = stack.app()
    before = cpu_seconds(stack)
    with ThreadPoolExecutor(1) as client:
        request = client.submit(stack.get, proxy, "/burn/4000000")
        assert wait_until(lambda: cpu_seconds(stack) > before + 0.3)
        assert not request.done(), "the request was over before the stop: nothing was in flight"
        stop(container)
        answer = request.result()
    assert (answer.status_code, answer.json()["rounds"]) == (200, 4_000_000)
    assert read_end(container) == (0, False)
    stack.serving = None


def cpu_seconds(stack: StackUnderTest) -> float:
    """The CPU time of every process in the app's container. The script's own share is the same each time."""
    script = (
        "import os, pathlib; stats = [p.read_text() for p in pathlib.Path('/proc').glob('[0-9]*/stat')]; "
        "ticks = sum(int(n) for stat in stats for n in stat.rpartition(')')[2].split()[11:13]); "
        "print(ticks / os.sysconf('SC_CLK_TCK'))"
    )
    return float(stack.in_app(script))


@pytest.mark.full
def test_one_hypercorn_worker_does_let_the_request_finish(stack: StackUnderTest) -> None:
    # How to avoid hypercorn's named difference: one worker a container, and more containers.
    stack.serve("hypercorn", "asgi", WORKERS="1")
    with ThreadPoolExecutor(1) as background, stack.stream("nginx", STREAM) as answer:
        received = answer.readline()
        end = background.submit(stop, stack.app())
        received += answer.read()
        end.result(timeout=40)
    assert received == CHUNKS


# Seconds for which the proxies keep an idle connection (snippets/upstream), and two more.
PATIENCE = 15 + 2
NO_KEEPALIVE = {"gunicorn-sync", "wsgiref"}
STOCK = {
    "gunicorn gthread, stock": "gunicorn -k gthread --no-control-socket -b 0.0.0.0:8000 apps.wsgi.bare:app",
    "uvicorn, stock": "uvicorn --host 0.0.0.0 apps.asgi.bare:app",
    "hypercorn, stock": "hypercorn -b 0.0.0.0:8000 asgi:apps.asgi.bare:app",
}


async def read_close_code(address: str, container: str) -> int:
    """The code with which a WebSocket ends when its server is stopped; 1006 stands for no close frame."""
    async with connect(f"ws://{address}:8000/ws", compression=None) as websocket:
        await websocket.send("open")
        assert await websocket.recv() == "open"
        stopped = asyncio.create_task(
            asyncio.to_thread(stop, container, int(GRACE) + 2)
        )  # hypercorn may have to be killed
        await asyncio.wait_for(websocket.wait_closed(), 15)
        await stopped
        return websocket.close_code or 0


async def read_close_codes(addresses: dict[str, tuple[str, str]]) -> dict[str, int]:
    """The code of each server. All stop at once, because each takes its time."""
    codes = await asyncio.gather(*(read_close_code(*address) for address in addresses.values()))
    return dict(zip(addresses, codes, strict=True))


@pytest.mark.full
def test_a_stop_closes_websockets_with_a_close_frame(stack: StackUnderTest) -> None:
    """Every ASGI server, asked directly: a client reads 1012 or 1001, and may connect again."""
    network = f"{stack.compose.project}-websockets"
    labels = {f"{LABEL}.project": stack.compose.project}
    create_network(network, labels)
    containers: dict[str, str] = {}
    try:
        for server in (server for server, interface in serve.pairs() if interface == "asgi"):
            environment = {"SERVER": server, "INTERFACE": "asgi", "GRACE": GRACE}
            containers[server] = run_detached(
                server_image(server, "asgi"), network=network, labels=labels, environment=environment, init=True
            )
        addresses = {server: (address_in(container, network), container) for server, container in containers.items()}
        assert wait_until(lambda: all(is_open(address, 8000) for address, _ in addresses.values()), 60)
        codes = asyncio.run(read_close_codes(addresses))
    finally:
        remove(*containers.values())
        remove_network(network)
    promise = named_differences.CLOSE_FRAME
    named = {server for server in codes if promise in named_differences.differences(server, "asgi")}
    assert {server for server, code in codes.items() if code not in (1001, 1012)} == named, codes


@pytest.mark.full
def test_an_idle_connection_outlives_the_proxies_patience(stack: StackUnderTest) -> None:
    """All servers at once, each asked twice on one connection with the proxies' patience in between."""
    network = f"{stack.compose.project}-idle"
    labels = {f"{LABEL}.project": stack.compose.project}
    commands = idle_commands()
    create_network(network, labels)
    containers: dict[str, str] = {}
    try:
        for label, (image, command) in commands.items():
            environment = {"WORKERS": "1", "THREADS": "2"}
            containers[label] = run_detached(image, *command, network=network, labels=labels, environment=environment)
        connections = {label: connect_idle(stack, container, network) for label, container in containers.items()}
        time.sleep(PATIENCE)
        closed = {label for label, connection in connections.items() if not answers(connection)}
    finally:
        remove(*containers.values())
        remove_network(network)
    never = {label for label in commands if label.split()[0] in NO_KEEPALIVE}
    assert closed - never == set(STOCK), "with our settings a connection stays; with stock settings it is closed"
    assert never <= closed, "these close after every reply, as their scripts say"


def idle_commands() -> dict[str, tuple[str, list[str]]]:
    """The image and the command of every server as this stack runs it, and of some with stock settings."""
    commands = {label: (f"{IMAGES}-app", command.split()) for label, command in STOCK.items()}
    for server, interface in serve.pairs():
        settings = [f"SERVER={server}", f"INTERFACE={interface}"]
        command = ["env", *settings, "python3", "-m", "app_runtime.serve"]
        commands[f"{server} {interface}"] = (server_image(server, interface), command)
    return commands


def connect_idle(stack: StackUnderTest, container: str, network: str) -> http.client.HTTPConnection:
    """A connection to a server, once the server listens, on which one request was answered."""
    address = address_in(container, network)
    assert wait_until(lambda: is_open(address, 8000), 60), stack.compose.logs(container)
    connection = http.client.HTTPConnection(address, 8000, timeout=10)
    connection.request("GET", "/live")
    assert connection.getresponse().read() == b"ok\n"
    connection.auto_open = 0  # a second connection would hide that the first is closed
    return connection


def answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/live")
        return connection.getresponse().read() == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
