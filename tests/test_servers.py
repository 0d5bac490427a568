"""Every server, interface and application, through both proxies and over every HTTP version."""

import http.client
import json
import subprocess
import time

import pytest
from websockets.sync.client import connect

from apps import contract
from tests import live
from tests.live import Stack

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


def test_every_application_keeps_the_contract(served: Stack, proxy: str, version: str) -> None:
    assert served.serving
    named = contract.differences(*served.serving[:2], proxy, version)
    faults = contract.verify(served.sender(proxy, version))
    expected = set(named) & {check.name for check in contract.CHECKS}
    assert faults.keys() - expected == set(), {name: faults[name] for name in faults.keys() - expected}
    assert expected - faults.keys() == set(), "upstream has mended these: take them out of contract.DIFFERENCES"


def test_the_right_server_answers(served: Stack, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/process", version).json()
    assert (seen["server"], seen["interface"], seen["app"]) == served.serving


def test_the_app_sees_the_real_client_address_and_scheme(served: Stack, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/request", version).json()
    assert seen["client"][0] == served.gateway()
    assert seen["scheme"] == "https"
    assert seen["headers"]["host"] == f"{live.NAME}:{served.https_port(proxy)}"


def test_a_client_cannot_choose_its_own_address(served: Stack, proxy: str, version: str) -> None:
    seen = served.get(proxy, "/request", version, headers=SPOOFED).json()
    assert seen["client"][0] == served.gateway()
    assert seen["scheme"] == "https"
    assert seen["root_path"] == ""
    assert "6.6.6.6" not in json.dumps(seen) and "evil" not in json.dumps(seen)


def test_a_body_of_one_megabyte_arrives_and_comes_back(served: Stack, proxy: str, version: str) -> None:
    answer = served.request(proxy, "POST", "/echo", version, data=contract.MEGABYTE)
    assert answer.status_code == 200
    assert answer.content == contract.MEGABYTE


def test_a_websocket_echoes_text_and_bytes(served: Stack, proxy: str) -> None:
    assert served.serving
    url = f"wss://{live.NAME}:{served.https_port(proxy)}/ws"
    if served.serving[1] == "wsgi":
        # WSGI has no WebSocket: the handshake is a plain request for a path that is not there.
        assert served.get(proxy, "/ws").status_code == 404
        return
    with connect(url, ssl=served.tls(), compression=None) as websocket:
        for message in ("olá", b"\x00\xff", "x" * 70_000):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


@pytest.fixture(scope="session", params=live.pairs(), ids="-".join)
def stoppable(request: pytest.FixtureRequest, stack: Stack) -> tuple[Stack, str, str]:
    """The stack and one server and interface, which each test starts for itself."""
    return stack, *request.param


def test_sigterm_lets_the_request_in_flight_finish(stoppable: tuple[Stack, str, str], proxy: str) -> None:
    stack, server, interface = stoppable
    stack.serve(server, interface)
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


def test_one_hypercorn_worker_does_let_the_request_finish(stack: Stack) -> None:
    # The way out of hypercorn's named difference: one worker a container, and more containers.
    stack.serve("hypercorn", "asgi", WORKERS="1")
    with stack.stream("nginx", "/stream/20?pause=100") as answer:
        received = answer.readline()
        stop = subprocess.Popen(["docker", "stop", stack.app()], stdout=subprocess.DEVNULL)
        received += answer.read()
    assert stop.wait(timeout=40) == 0
    assert received == b"".join(b"chunk %d\n" % n for n in range(20))
