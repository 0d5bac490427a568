"""The full matrix, server × interface × application: which cells there are, and what differs in a cell."""

import asyncio

from websockets.exceptions import WebSocketException

from apps import contract, named_differences
from apps.runtime import serve
from tests.support.clients import SITE
from tests.support.stack import StackUnderTest
from tests.test_servers import echo

PROXY, VERSION = "nginx", "1.1"
WEBSOCKET = "a WebSocket echoes"
CELLS = [(*pair, app) for pair in serve.pairs() for app in serve.apps(pair[1])]


def check_cell(stack: StackUnderTest, server: str, interface: str, app: str) -> dict[str, str]:
    """Serves the application on the server and checks the whole contract: the faults, by the name of the check."""
    stack.serve(server, interface, app)
    faults = contract.verify(stack.sender(PROXY, VERSION))
    if interface == "asgi" and (fault := find_websocket_fault(stack, PROXY)):
        faults[WEBSOCKET] = fault
    return faults


def find_websocket_fault(stack: StackUnderTest, proxy: str) -> str:
    """What is wrong with the application's WebSocket; "" where it echoes."""
    try:
        asyncio.run(echo(f"wss://{SITE}:{stack.https_port(proxy)}/ws", stack.tls()))
    except (OSError, WebSocketException, AssertionError) as error:
        return repr(error)
    return ""


def list_named_differences(server: str, interface: str, app: str) -> set[str]:
    """The checks that must differ in a cell. No other check may differ."""
    checks = {check.name for check in contract.CHECKS}
    return set(named_differences.differences(server, interface, PROXY, VERSION, app)) & checks
