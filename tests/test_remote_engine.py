"""An engine on another machine: its ports are not open here, and nobody waits for what cannot come."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack import Problem, engine
from stack.certificates import read_served, reload_proxies
from stack.compose import Compose
from stack.ports import list_sites
from stack.readiness import wait_for_proxies
from tests.support.engine import run_once
from tests.support.stack import IMAGES, PROXIES, StackUnderTest, free_port

SOCKET = "/var/run/docker.sock"


def copy(source: socket.socket, target: socket.socket) -> None:
    """Passes bytes on until one end closes."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def forward(listener: socket.socket) -> None:
    """Passes each connection on to the engine's socket."""
    with suppress(OSError):  # the listener is closed at the end
        while True:
            client, engine_side = listener.accept()[0], socket.socket(socket.AF_UNIX)
            engine_side.connect(SOCKET)
            for pair in ((client, engine_side), (engine_side, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine by TCP, as one on another machine."""
    if os.environ.get("DOCKER_HOST") or not Path(SOCKET).exists():
        pytest.skip("the engine has no socket here")
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        threading.Thread(target=forward, args=(listener,), daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        engine.is_local.cache_clear()
        yield
    engine.is_local.cache_clear()


def with_closed_ports(stack: StackUnderTest) -> Compose:
    """The stack's project, with ports where nothing answers here."""
    host = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    return stack.compose.with_settings({f"{proxy.upper()}_HTTPS_PORT": str(free_port()) for proxy in PROXIES} | host)


@pytest.mark.usefixtures("any_app", "remote")
def test_a_remote_engine_is_asked_inside(stack: StackUnderTest) -> None:
    assert not engine.is_local()
    wait_for_proxies(with_closed_ports(stack), stack.proxies, stack.read_authority(), seconds=10)
    with pytest.raises(Problem, match="certificate verify failed"):
        wait_for_proxies(with_closed_ports(stack), stack.proxies[:1], "", seconds=0)


@pytest.mark.usefixtures("any_app", "remote")
def test_a_remote_engine_gets_a_renewed_certificate(stack: StackUnderTest) -> None:
    compose = with_closed_ports(stack)
    reload_proxies(compose)
    before = {read_served(compose, port) for port in list_sites(compose)}
    assert len(before) == 1 and before != {""}, "the proxies were not asked"
    certs = {f"{stack.compose.project}_certs": {"bind": "/certs", "mode": "rw"}}
    run_once(f"{IMAGES}-certs", "rm", "/certs/names", network_mode="none", volumes=certs)
    stack.make_certificates()
    assert set(reload_proxies(compose)) <= set(stack.proxies)  # a proxy may have taken the certificate by itself
    after = {read_served(compose, port) for port in list_sites(compose)}
    assert len(after) == 1 and after != before


@pytest.mark.usefixtures("any_app")
def test_an_engine_here_is_asked_at_its_ports(stack: StackUnderTest) -> None:
    assert engine.is_local()
    with pytest.raises(Problem, match="refused"):
        wait_for_proxies(with_closed_ports(stack), stack.proxies[:1], stack.read_authority(), seconds=0)
