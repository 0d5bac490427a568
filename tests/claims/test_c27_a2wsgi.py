"""C27: does a2wsgi adapt WSGI to ASGI and back, and what is lost on the way?"""

import socket
from typing import Any

import pytest

from apps import contract
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, listeners, single_server
from tests.claims.single_server import SingleServer, SingleServers
from tests.claims.test_c16_asgi import EVENTS, PAUSE, UPGRADE, ahead

CLAIM = Claim("C27", "`a2wsgi` adapts WSGI to ASGI and back")
THREADS = 4
CROWD = 24
YES = ("websocket", "lifespan", "body as sent", "reply as made")
RUNS = {
    "wsgi": [("gunicorn", "wsgi"), ("uvicorn", "asgi"), ("hypercorn", "asgi"), ("granian", "asgi")],
    "asgi": [("uvicorn", "asgi"), ("gunicorn", "wsgi"), ("granian", "wsgi")],
}  # the first of each is the control: the application on a server of its own interface


@pytest.mark.long
@pytest.mark.parametrize("kind", RUNS)
def test_an_application_on_its_own_interface_and_on_the_other(
    servers: SingleServers, kind: str, finding: Finding
) -> None:
    for server, interface in RUNS[kind]:
        probe = single_server.PROBES / f"through_{kind}.py"
        with servers.serving(server, interface, probe, THREADS=str(THREADS)) as one:
            faults = contract.verify(one.send)
            seen = {"faults": faults, "websocket": one.status(UPGRADE) == 101}
            seen["lifespan"] = "THROUGH lifespan" in one.logs()
            if len(faults) < len(contract.CHECKS) / 2:
                seen["reply as made"] = ahead(one) > (EVENTS - 1) * PAUSE / 2
                seen["body as sent"] = in_pieces(one)
                seen["pieces after leaving"] = after_leaving(one)
                seen["held"] = listeners.crowd(one, CROWD, "/events/600?pause=100")["held"]
            else:
                finding.setdefault("broken", {}).setdefault(kind, {})[f"{server} {interface}"] = faults["hello"]
        finding.setdefault(kind, {})[f"{server} {interface}"] = seen
    control = finding[kind][" ".join(RUNS[kind][0])]
    assert control["faults"] == {} and control["reply as made"] and control["body as sent"]


def in_pieces(one: SingleServer) -> bool:
    """Whether the application has the first half of a body before the second is sent."""
    size = 400_000
    with socket.create_connection((one.address, 8000), timeout=20) as connection:
        connection.sendall(f"POST /pieces HTTP/1.1\r\nHost: app\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendall(b"x" * (size // 2))
        early = wait_until(lambda: "THROUGH got" in one.logs(), 2)
        connection.sendall(b"x" * (size // 2))
        answer = b""
        while not answer.endswith(str(size).encode()) and str(size).encode() not in answer:
            piece = connection.recv(65536)
            assert piece, f"closed after {answer!r}"
            answer += piece
    return early


def after_leaving(one: SingleServer) -> int | None:
    """Of 60 pieces in three seconds, how many an application makes whose client leaves after the first.

    None: it never comes to an end.
    """
    with socket.create_connection((one.address, 8000), timeout=20) as connection:
        connection.sendall(b"GET /leave HTTP/1.1\r\nHost: app\r\n\r\n")
        received = b""
        while b"piece" not in received:
            received += connection.recv(65536)
    said = wait_until(lambda: [line for line in one.logs().splitlines() if "THROUGH left" in line], 8)
    return int(said[0].split()[-1]) if said else None


def leaving(pieces: int | None) -> str:
    """What an application did whose client left."""
    return "never ends" if pieces is None else "runs to its end" if pieces == 60 else "stops"


def lost(own: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What the application had on its own interface and has not on the other."""
    if "held" not in other:
        return ["everything"]
    names = {"websocket": "WebSocket", "lifespan": "lifespan", "reply as made": "a reply as it is made",
             "body as sent": "a body as it is sent"}  # fmt: skip
    words = [words for name, words in names.items() if own[name] and not other[name]]
    words += [f"“{check}”" for check in other["faults"]]
    how = leaving(other["pieces after leaving"])
    if leaving(own["pieces after leaving"]) == "stops" and how != "stops":
        words.append(f"the news that a client has left (the application {how})")
    if own["held"] == CROWD and other["held"] != CROWD:
        words.append("more clients than threads")
    return words


def conclude(found: Finding) -> Conclusion:
    """Holds if an application does on the other interface what it does on its own; with a limit where it does less."""
    rows, gone, kept, works = [], {}, {}, {}
    for kind in RUNS:
        own, *others = [" ".join(pair) for pair in RUNS[kind]]
        gone[kind] = {other: lost(found[kind][own], found[kind][other]) for other in others}
        kept[kind] = {other: len(contract.CHECKS) - len(found[kind][other]["faults"]) for other in others}
        works[kind] = any(number > 0.9 * len(contract.CHECKS) for number in kept[kind].values())
        for pair, one in found[kind].items():
            checks = f"{len(contract.CHECKS) - len(one['faults'])} of {len(contract.CHECKS)}"
            row = [f"{kind.upper()} application on {pair}", checks]
            row += ["–" if name not in one else "yes" if one[name] else "no" for name in YES]
            row += (
                [leaving(one["pieces after leaving"]), "all" if one["held"] == CROWD else str(one["held"])]
                if ("held" in one)
                else ["–", "–"]
            )
            rows.append(row)
    every = {
        kind: list(dict.fromkeys(word for words in gone[kind].values() for word in words if word != "everything"))
        for kind in RUNS
    }
    broken = [f"{kind.upper()} on {pair} ({words})" for kind, some in found.get("broken", {}).items()
              for pair, words in some.items()]  # fmt: skip
    counts = {kind: ", ".join(f"{pair} {number}" for pair, number in kept[kind].items()) for kind in RUNS}
    evidence = (
        f"Of {len(contract.CHECKS)} checks a WSGI application keeps on ASGI servers: {counts['wsgi']}; an ASGI one on "
        f"WSGI servers: {counts['asgi']}. Lost from WSGI to ASGI: {', '.join(every['wsgi']) or 'nothing'}; from ASGI "
        f"to WSGI: {', '.join(every['asgi']) or 'nothing'}." + (f" Broken: {'; '.join(broken)}." if broken else "")
    )
    columns = ["", "checks", "WebSocket", "lifespan", "request in pieces", "reply in pieces", "the client leaves",
               f"listeners held, of {CROWD}"]  # fmt: skip
    note = f"One worker, {THREADS} threads. The first of each kind is the control: its own interface, without a2wsgi."
    limited = broken or any(every.values())
    verdict = "never was" if not all(works.values()) else "holds with a limit" if limited else "holds"
    table = Table("What an application keeps through a2wsgi", columns, rows, note)
    return Conclusion(verdict, evidence, (table,))  # type: ignore[arg-type]
