"""A request that a container drops while it stops: the proxy sends it to the container that stays."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.engine import client, exec_status, read_logs, remove, run_detached
from tests.support.stack import IMAGES, StackUnderTest

pytestmark = pytest.mark.full
# Answers with its name. The one that leaves reads a request for /leave, listens no more, and closes after a second.
SERVER = """
import socket, sys, threading, time
name, listener = sys.argv[1], socket.create_server(("", 8000))
def serve(connection):
    while head := connection.recv(65536):
        if name == "leaving" and head.startswith(b"GET /leave"):
            print("left", flush=True)
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            time.sleep(1)
            connection.close()
            return
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\nConnection: close\\r\\n\\r\\n" + name.encode())
        connection.close()
        return
try:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
except OSError:
    time.sleep(600)
"""


@contextmanager
def run_servers(stack: StackUnderTest, *names: str) -> Iterator[list[str]]:
    """Servers in the app's place; their containers."""
    remove(*stack.compose.containers("app", include_stopped=True))
    stack.serving = None
    network = stack.network("backend")
    labels = {f"{LABEL}.project": stack.compose.project, f"{LABEL}.service": "leaving"}
    with ExitStack() as end:
        containers = []
        for name in names:
            alias = {network: client().api.create_endpoint_config(aliases=[stack.app_name()])}
            command = ("python3", "-c", SERVER, name)
            container = run_detached(
                f"{IMAGES}-app", *command, labels=labels, network=network, networking_config=alias, init=True
            )
            end.callback(remove, container)
            containers.append(container)
        yield containers


def test_a_get_survives_a_container_that_stops(stack: StackUnderTest, proxy: str) -> None:
    with run_servers(stack, "leaving", "staying") as (leaving, _), ThreadPoolExecutor() as pool:

        def has_both() -> bool:
            """Whether the proxy asks both containers."""
            return {stack.get(proxy, f"/{number}").text for number in range(8)} == {"leaving", "staying"}

        assert wait_until(has_both, 30), "the proxy knows both"
        answers = []
        while "left" not in read_logs(leaving):  # the first or the second request reaches the one that leaves
            answers.append(pool.submit(stack.new_session(proxy).get, "/leave", timeout=20))
            assert len(answers) < 9, "no request reached the container that leaves"
            wait_until(lambda: answers[-1].done() or "left" in read_logs(leaving), 5)
        # In turn: the next request takes the container that stays, and the dropped request the one that left.
        assert stack.get(proxy, "/between").text == "staying"
        assert {answer.result().text for answer in answers} == {"staying"}
        assert exec_status(leaving, "python3", "-c", "import socket; socket.create_connection(('', 8000))")[0] != 0
