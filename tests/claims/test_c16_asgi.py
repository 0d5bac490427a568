"""C16: ASGI is needed because WSGI is one call and one response; is that so for WebSocket, and for events?"""

import asyncio
import time

import pytest
from websockets.asyncio.client import connect

from tests.claims import Claim, Conclusion, Finding, Table, listeners, single_server
from tests.claims.single_server import SingleServer, SingleServers

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
EVENTS, PAUSE = 8, 0.15


@pytest.mark.long
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_what_stays_open_on_every_server(servers: SingleServers, interface: str, finding: Finding) -> None:
    """A WebSocket; a stream of events, as they happen; and a crowd of listeners, with one worker of two threads."""
    for server in single_server.with_interface(interface):
        with servers.serving(server, interface, THREADS=str(THREADS)) as one:
            status = one.status(UPGRADE)
            if status == 101:
                assert asyncio.run(echoes(f"ws://{one.address}:8000/ws"))
            finding.setdefault("upgrade", {}).setdefault(interface, {})[server] = status
            finding.setdefault("ahead", {}).setdefault(interface, {})[server] = ahead(one)
            crowd = listeners.crowd(one, 24, "/events/600?pause=100")
            finding.setdefault("crowd", {}).setdefault(interface, {})[server] = crowd


async def echoes(url: str) -> bool:
    """Whether a WebSocket brings back what was sent."""
    async with connect(url, compression=None) as websocket:
        await websocket.send("olá")
        return await asyncio.wait_for(websocket.recv(), 10) == "olá"


def ahead(one: SingleServer) -> float:
    """How many seconds before the last event the first one came."""
    connection = one.connection()
    connection.request("GET", f"/events/{EVENTS}?pause={PAUSE * 1000:.0f}")
    answer = connection.getresponse()
    assert answer.readline() == b"id: 0\n"
    first = time.monotonic()
    assert answer.read().count(b"data: event") == EVENTS
    connection.close()
    return round(time.monotonic() - first, 2)


def conclude(found: Finding) -> Conclusion:
    """Holds if ASGI alone keeps calls open; with a limit where server-sent events do on WSGI."""
    upgrade, ahead_of, crowd = found["upgrade"], found["ahead"], found["crowd"]
    only_asgi = set(upgrade["asgi"].values()) == {101} and 101 not in upgrade["wsgi"].values()
    late = (EVENTS - 1) * PAUSE / 2
    streams = [server for server, seconds in ahead_of["wsgi"].items() if seconds > late]
    number = len(crowd["wsgi"])
    held = {interface: [crowd[interface][server]["held"] for server in crowd[interface]] for interface in crowd}
    held["wsgi"] = [crowd["wsgi"][server]["held"] for server in streams] or [0]
    waits = [server for server in streams if crowd["wsgi"][server]["next"] is None]
    rows = [
        [
            f"{server} {interface}",
            "yes" if upgrade[interface][server] == 101 else f"no ({upgrade[interface][server]})",
            "yes" if ahead_of[interface][server] > late else "no, all at the end",
            "all" if crowd[interface][server]["held"] == 24 else str(crowd[interface][server]["held"]),
            "–" if not crowd[interface][server]["held"] else "at once" if crowd[interface][server]["next"] else "waits",
        ]
        for interface in ("asgi", "wsgi")
        for server in upgrade[interface]
    ]
    evidence = (
        f"WebSocket works on {list(upgrade['asgi'].values()).count(101)} of {len(upgrade['asgi'])} ASGI servers and on "
        f"{list(upgrade['wsgi'].values()).count(101)} of {len(upgrade['wsgi'])} WSGI ones. Server-sent events come as "
        f"they happen on {len(streams)} of {number} WSGI servers, at a price: of 24 listeners at one worker "
        f"with {THREADS} threads they hold {min(held['wsgi'])} to {max(held['wsgi'])}, and the next client waits on "
        f"{len(waits)} of {len(streams)}; ASGI servers hold {min(held['asgi'])}."
    )
    columns = ["server", "WebSocket", "events as they happen", "listeners held, of 24", "the next client"]
    note = f"One worker, {THREADS} threads where the server's script takes a number; asked without a proxy."
    verdict = "never was" if not only_asgi else "holds with a limit" if streams else "holds"
    table = Table("What stays open on which server", columns, rows, note)
    return Conclusion(verdict, evidence, (table,))  # type: ignore[arg-type]
