"""The full matrix, server × interface × application: which cells there are, and what differs in one."""

import asyncio

from websockets.exceptions import WebSocketException

from apps import contract, serve
from tests.support.clients import SITE
from tests.support.stack import StackUnderTest
from tests.test_servers import echo

PROXY, VERSION = "nginx", "1.1"
WEBSOCKET = "a WebSocket echoes"
CELLS = [(*pair, app) for pair in serve.pairs() for app in serve.apps(pair[1])]


def matrix_cell(stack: StackUnderTest, server: str, interface: str, app: str) -> dict[str, str]:
    """Serves that application on that server, and asks it the whole contract: what is wrong, by the check's name."""
    stack.serve(server, interface, app)
    faults = contract.verify(stack.sender(PROXY, VERSION))
    if interface == "asgi" and (wrong := websocket_fault(stack, PROXY)):
        faults[WEBSOCKET] = wrong
    return faults


def websocket_fault(stack: StackUnderTest, proxy: str) -> str:
    """What is wrong with the application's WebSocket; "" where it echoes."""
    try:
        asyncio.run(echo(f"wss://{SITE}:{stack.https_port(proxy)}/ws", stack.tls()))
    except (OSError, WebSocketException, AssertionError) as error:
        return repr(error)
    return ""


def named(server: str, interface: str, app: str) -> set[str]:
    """What must differ in a cell, and nothing else may."""
    checks = {check.name for check in contract.CHECKS}
    return set(contract.differences(server, interface, PROXY, VERSION, app)) & checks
