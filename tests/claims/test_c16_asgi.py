"""C16: ASGI is needed because WSGI is one call and one response. Is that so for WebSocket, and for events?"""

import asyncio
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.event_listeners import hold_listeners
from tests.claims.support.server_scripts import find_servers
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.single_server import SingleServer

CLAIM = Claim(
    "C16",
    "ASGI (about 2015): `app(scope, receive, send)`; needed because WSGI is one call and one response, so there are no "
    "persistent calls such as WebSocket",
    also=("test_a_websocket_echoes_text_and_bytes",),
)
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: app\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
THREADS = 2
LISTENERS = 24
EVENTS, PAUSE = 8, 0.15  # events of a stream, and the seconds between them
LATE = (EVENTS - 1) * PAUSE / 2  # a stream whose first event comes less than this before its last was held back


@pytest.mark.long
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_what_stays_open_on_every_server(servers: SingleServers, interface: str, finding: Finding) -> None:
    """One worker of two threads gets a WebSocket, a stream of events, and many listeners at once."""
    for server in find_servers(interface):
        with servers.serving(server, interface, THREADS=str(THREADS)) as single:
            status = single.status(UPGRADE)
            if status == 101:
                assert asyncio.run(does_echo(f"ws://{single.address}:8000/ws"))
            finding.setdefault("upgrade", {}).setdefault(interface, {})[server] = status
            finding.setdefault("ahead", {}).setdefault(interface, {})[server] = measure_lead(single)
            crowd = hold_listeners(single, LISTENERS, "/events/600?pause=100")
            finding.setdefault("crowd", {}).setdefault(interface, {})[server] = crowd


async def does_echo(url: str) -> bool:
    """Whether a WebSocket sends a message back."""
    async with connect(url, compression=None) as websocket:
        await websocket.send("olá")
        return await asyncio.wait_for(websocket.recv(), 10) == "olá"


def measure_lead(server: SingleServer) -> float:
    """How many seconds before the last event the first event came."""
    connection = server.connection()
    connection.request("GET", f"/events/{EVENTS}?pause={PAUSE * 1000:.0f}")
    answer = connection.getresponse()
    assert answer.readline() == b"id: 0\n"
    first = time.monotonic()
    assert answer.read().count(b"data: event") == EVENTS
    connection.close()
    return round(time.monotonic() - first, 2)


def conclude(finding: Finding) -> Conclusion:
    """Holds if only ASGI keeps calls open; with a limit where WSGI servers send events as they happen."""
    upgrade = finding["upgrade"]
    only_asgi = set(upgrade["asgi"].values()) == {101} and 101 not in upgrade["wsgi"].values()
    verdict: Verdict = (
        "never was" if not only_asgi else "holds with a limit" if find_streaming_wsgi(finding) else "holds"
    )
    return Conclusion(verdict, write_evidence(finding), (make_table(finding),))


def find_streaming_wsgi(finding: Finding) -> list[str]:
    """The WSGI servers that send events as they happen."""
    return [server for server, seconds in finding["ahead"]["wsgi"].items() if seconds > LATE]


def write_evidence(finding: Finding) -> str:
    """On which servers WebSockets work, and how many listeners a server holds."""
    upgrade, crowd = finding["upgrade"], finding["crowd"]
    streaming = find_streaming_wsgi(finding)
    held_by_asgi = [listeners["held"] for listeners in crowd["asgi"].values()]
    held_by_wsgi = [crowd["wsgi"][server]["held"] for server in streaming] or [0]
    waiting = [server for server in streaming if crowd["wsgi"][server]["next"] is None]
    return (
        f"WebSocket works on {list(upgrade['asgi'].values()).count(101)} of {len(upgrade['asgi'])} ASGI servers and on "
        f"{list(upgrade['wsgi'].values()).count(101)} of {len(upgrade['wsgi'])} WSGI ones. Server-sent events come as "
        f"they happen on {len(streaming)} of {len(crowd['wsgi'])} WSGI servers, at a price: of {LISTENERS} listeners "
        f"at one worker with {THREADS} threads they hold {min(held_by_wsgi)} to {max(held_by_wsgi)}, and the next "
        f"client waits on {len(waiting)} of {len(streaming)}; ASGI servers hold {min(held_by_asgi)}."
    )


def make_table(finding: Finding) -> Table:
    """What stays open, by server."""
    upgrade, ahead, crowd = finding["upgrade"], finding["ahead"], finding["crowd"]
    rows = [
        [
            f"{server} {interface}",
            "yes" if upgrade[interface][server] == 101 else f"no ({upgrade[interface][server]})",
            "yes" if ahead[interface][server] > LATE else "no, all at the end",
            *listener_cells(crowd[interface][server]),
        ]
        for interface in ("asgi", "wsgi")
        for server in upgrade[interface]
    ]
    columns = ["server", "WebSocket", "events as they happen", f"listeners held, of {LISTENERS}", "the next client"]
    note = f"One worker, {THREADS} threads where the server's script takes a number; asked without a proxy."
    return Table("What stays open on which server", columns, rows, note)


def listener_cells(listeners: dict[str, Any]) -> list[str]:
    """How many listeners a server holds, and what happens to the next client."""
    held = "all" if listeners["held"] == LISTENERS else str(listeners["held"])
    return [held, "–" if not listeners["held"] else "at once" if listeners["next"] else "waits"]
