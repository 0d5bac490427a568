"""Validate, then measure: a server that does not answer as the contract says, that way, is not measured."""

import contextlib
import http.client
import json
import time

from apps import contract
from loadtests.run.plan import STOCK, Block
from loadtests.run.testbed import ALONE, HTTPS, Testbed
from loadtests.window import DIRECT, NO_SERVER
from stack import Problem
from stack.readiness import READY_SECONDS

GREETING = tuple(check for check in contract.CHECKS if (check.method, check.path) == ("GET", "/"))


class Fit:
    """What is known of a testbed's cells: the contract is verified once for each server, application and way."""

    def __init__(self, testbed: Testbed) -> None:
        self.testbed = testbed
        self.known: dict[tuple[str, ...], str] = {}

    def fault(self, block: Block, way: str) -> str:
        """What of the contract does not hold that way; "" where it does. `Problem` where nothing gets through."""
        place = (block.server, block.interface, block.app, way)
        if block.server != NO_SERVER:
            self.wait(way)
        if place not in self.known:
            self.known[place] = self.verified(block, way)
        return self.known[place]

    def verified(self, block: Block, way: str) -> str:
        """What of the contract fails, but for what has a name.

        Of a proxy's own answer it is the greeting; so it is of a stock configuration, whose lacks are known.
        """
        if block.server == NO_SERVER:
            faults = contract.verify(sender(self.testbed, way, ALONE), GREETING)
        else:
            checks = GREETING if way in STOCK else contract.CHECKS
            named = contract.differences(block.server, block.interface, way, "1.1", block.app)
            found = contract.verify(sender(self.testbed, way), checks)
            faults = {name: fault for name, fault in found.items() if name not in named}
        return f"fails the contract: {'; '.join(f'{one}: {why}' for one, why in faults.items())}" if faults else ""

    def wait(self, way: str) -> None:
        """Until a request gets through that way to the server that runs now."""
        send = sender(self.testbed, way)
        ask = contract.Check("process", "GET", "/process")
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(send(ask).body)["server"] == self.testbed.compose.environment["SERVER"]:
                    return
            time.sleep(0.1)
        raise Problem(f"no request got through {way}")


def sender(testbed: Testbed, way: str, port: int = HTTPS) -> contract.Send:
    """The client as the contract wants one, on connections of its own, verified against the stack's authority."""
    container = testbed.app if way == DIRECT else testbed.proxies[way]
    network = "backend" if way == DIRECT else "edge"
    template = f'{{{{(index .NetworkSettings.Networks "{testbed.compose.project}_{network}").IPAddress}}}}'
    address = testbed.compose.inspect(container, template)
    trust = testbed.trust if way != DIRECT else None

    def send(check: contract.Check) -> contract.Answer:
        if trust:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(way, port, timeout=20, context=trust)
            plain = http.client.HTTPConnection(address, port, timeout=20)
            plain.connect()
            connection.sock = trust.wrap_socket(plain.sock, server_hostname=way)
        else:
            connection = http.client.HTTPConnection(address, 8000, timeout=20)
        try:
            return contract.send_over(connection, check)
        finally:
            connection.close()

    return send
