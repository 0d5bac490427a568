"""Checks the contract on a route before anything is measured there, because a wrong answer may cost less."""

import contextlib
import http.client
import json
import socket

from apps import contract, named_differences
from loadtests.run.plan import Block
from loadtests.run.testbed import OWN_ANSWER, Testbed
from loadtests.window import BY_HAND, DIRECT, NO_SERVER, STOCK
from stack import Problem
from stack.ports import HTTPS
from stack.readiness import READY_SECONDS
from stack.waiting import wait_until

APP_PORT = 8000
TIMEOUT = 20  # seconds
GREETING = tuple(check for check in contract.CHECKS if (check.method, check.path) == ("GET", "/"))
PROCESS = contract.Check("process", "GET", "/process")  # the answer names the server


class ContractChecks:
    """The contract checks of a run: each server with each application is checked once on each route."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.faults: dict[tuple[str, ...], str] = {}

    def find_fault(self, block: Block, route: str) -> str:
        """What fails on a route, in words; "" where nothing does. `Problem` where no request gets through."""
        subject = (block.server, block.interface, block.app, route)
        if block.server != NO_SERVER:
            self.wait_for_route(route)
        if subject not in self.faults:
            self.faults[subject] = self.check(block, route)
        return self.faults[subject]

    def check(self, block: Block, route: str) -> str:
        """What fails on a route, without the named differences.

        A proxy's own answer is checked for the greeting only. So are a stock configuration and an application
        without its gateway, which lack much by design.
        """
        if block.server == NO_SERVER:
            faults = contract.verify(self.make_client(route, OWN_ANSWER), GREETING)
        else:
            is_bare = route.endswith(STOCK) or block.app.endswith(BY_HAND)
            checks = GREETING if is_bare else contract.CHECKS
            named = named_differences.differences(block.server, block.interface, route, "1.1", block.app)
            all_faults = contract.verify(self.make_client(route), checks)
            faults = {name: fault for name, fault in all_faults.items() if name not in named}
        return (
            f"fails the contract: {'; '.join(f'{name}: {fault}' for name, fault in faults.items())}" if faults else ""
        )

    def wait_for_route(self, route: str) -> None:
        """Waits until a request gets through to the server that runs now; `Problem` where none does."""
        send = self.make_client(route)

        def is_reached() -> bool:
            with contextlib.suppress(OSError, ValueError):
                return json.loads(send(PROCESS).body)["server"] == self.testbed.compose.environment["SERVER"]
            return False

        if not wait_until(is_reached, READY_SECONDS):
            raise Problem(f"no request got through {route}")

    def make_client(self, route: str, port: int = HTTPS) -> contract.Send:
        """A client for the contract. Each request has a new connection, over verified TLS but directly to the app."""
        if route == DIRECT:
            address = self.testbed.address("app", "backend")

            def connect() -> http.client.HTTPConnection:
                return http.client.HTTPConnection(address, APP_PORT, timeout=TIMEOUT)
        else:
            address = self.testbed.address(route, "edge")

            def connect() -> http.client.HTTPConnection:
                connection = http.client.HTTPConnection(route, port)  # for the request's Host; no DNS here has the name
                plain = socket.create_connection((address, port), TIMEOUT)
                connection.sock = self.testbed.trust.wrap_socket(plain, server_hostname=route)
                return connection

        def send(check: contract.Check) -> contract.Answer:
            with contextlib.closing(connect()) as connection:
                return contract.send_over(connection, check)

        return send
