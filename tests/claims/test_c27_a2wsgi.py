"""C27: does a2wsgi adapt WSGI to ASGI and back, and what is lost?"""

import socket
from typing import Any

import pytest

from apps import contract
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.event_listeners import hold_listeners
from tests.claims.support.server_starter import APPS, SingleServers
from tests.claims.support.single_server import SingleServer
from tests.claims.test_c16_asgi import LATE, UPGRADE, measure_lead

CLAIM = Claim("C27", "`a2wsgi` adapts WSGI to ASGI and back")
THREADS = 4
LISTENERS = 24
YES = ("websocket", "lifespan", "body as sent", "reply as made")
# The first pair of each is the control: the application on a server of its own interface.
RUNS = {
    "wsgi": [("gunicorn", "wsgi"), ("uvicorn", "asgi"), ("hypercorn", "asgi"), ("granian", "asgi")],
    "asgi": [("uvicorn", "asgi"), ("gunicorn", "wsgi"), ("granian", "wsgi")],
}


@pytest.mark.long
@pytest.mark.parametrize("kind", RUNS)
def test_an_application_on_its_own_interface_and_on_the_other(
    servers: SingleServers, kind: str, finding: Finding
) -> None:
    for server, interface in RUNS[kind]:
        app = APPS / kind / "through_a2wsgi.py"
        with servers.serving(server, interface, app, THREADS=str(THREADS)) as single:
            faults = contract.verify(single.send)
            row = {"faults": faults, "websocket": single.status(UPGRADE) == 101}
            row["lifespan"] = "THROUGH lifespan" in single.logs()
            if len(faults) < len(contract.CHECKS) / 2:
                row["reply as made"] = measure_lead(single) > LATE
                row["body as sent"] = does_app_read_early(single)
                row["pieces after leaving"] = count_pieces_after_leaving(single)
                row["held"] = hold_listeners(single, LISTENERS, "/events/600?pause=100")["held"]
            else:
                finding.setdefault("broken", {}).setdefault(kind, {})[f"{server} {interface}"] = faults["hello"]
        finding.setdefault(kind, {})[f"{server} {interface}"] = row
    control = finding[kind][" ".join(RUNS[kind][0])]
    assert control["faults"] == {} and control["reply as made"] and control["body as sent"]


def does_app_read_early(server: SingleServer) -> bool:
    """Whether the application reads the first half of a body before the client sends the second half."""
    size = 400_000
    with socket.create_connection((server.address, 8000), timeout=20) as connection:
        connection.sendall(f"POST /pieces HTTP/1.1\r\nHost: app\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendall(b"x" * (size // 2))
        early = wait_until(lambda: "THROUGH got" in server.logs(), 2)
        connection.sendall(b"x" * (size // 2))
        answer = b""
        while not answer.endswith(str(size).encode()) and str(size).encode() not in answer:
            piece = connection.recv(65536)
            assert piece, f"closed after {answer!r}"
            answer += piece
    return early


def count_pieces_after_leaving(server: SingleServer) -> int | None:
    """How many of 60 pieces in three seconds the application makes, when its client leaves after the first.

    None: the application never ends.
    """
    with socket.create_connection((server.address, 8000), timeout=20) as connection:
        connection.sendall(b"GET /leave HTTP/1.1\r\nHost: app\r\n\r\n")
        received = b""
        while b"piece" not in received:
            received += connection.recv(65536)
    lines = wait_until(lambda: [line for line in server.logs().splitlines() if "THROUGH left" in line], 8)
    return int(lines[0].split()[-1]) if lines else None


def describe_leaving(pieces: int | None) -> str:
    """What the application does when its client leaves."""
    return "never ends" if pieces is None else "runs to its end" if pieces == 60 else "stops"


def list_lost(own: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What the application has on its own interface and lacks on the other."""
    if "held" not in other:
        return ["everything"]
    names = {"websocket": "WebSocket", "lifespan": "lifespan", "reply as made": "a reply as it is made",
             "body as sent": "a body as it is sent"}  # fmt: skip
    words = [words for name, words in names.items() if own[name] and not other[name]]
    words += [f"“{check}”" for check in other["faults"]]
    reaction = describe_leaving(other["pieces after leaving"])
    if describe_leaving(own["pieces after leaving"]) == "stops" and reaction != "stops":
        words.append(f"the news that a client has left (the application {reaction})")
    if own["held"] == LISTENERS and other["held"] != LISTENERS:
        words.append("more clients than threads")
    return words


def conclude(finding: Finding) -> Conclusion:
    """Holds if an application does on the other interface what it does on its own; with a limit where it does less."""
    kept = {kind: count_kept_checks(finding, kind) for kind in RUNS}
    lost = {kind: list_all_lost(finding, kind) for kind in RUNS}
    works = all(any(number > 0.9 * len(contract.CHECKS) for number in kept[kind].values()) for kind in RUNS)
    broken = list_broken(finding)
    limited = broken or any(lost.values())
    verdict: Verdict = "never was" if not works else "holds with a limit" if limited else "holds"
    counts = {kind: ", ".join(f"{pair} {number}" for pair, number in kept[kind].items()) for kind in RUNS}
    evidence = (
        f"Of {len(contract.CHECKS)} checks a WSGI application keeps on ASGI servers: {counts['wsgi']}; an ASGI one on "
        f"WSGI servers: {counts['asgi']}. Lost from WSGI to ASGI: {', '.join(lost['wsgi']) or 'nothing'}; from ASGI "
        f"to WSGI: {', '.join(lost['asgi']) or 'nothing'}." + (f" Broken: {'; '.join(broken)}." if broken else "")
    )
    return Conclusion(verdict, evidence, (make_table(finding),))


def count_kept_checks(finding: Finding, kind: str) -> dict[str, int]:
    """By server of the other interface: how many checks of the contract the application keeps."""
    others = [" ".join(pair) for pair in RUNS[kind][1:]]
    return {other: len(contract.CHECKS) - len(finding[kind][other]["faults"]) for other in others}


def list_all_lost(finding: Finding, kind: str) -> list[str]:
    """What the application lacks on any server of the other interface that runs it."""
    own, *others = [finding[kind][" ".join(pair)] for pair in RUNS[kind]]
    words = [word for other in others for word in list_lost(own, other) if word != "everything"]
    return list(dict.fromkeys(words))


def list_broken(finding: Finding) -> list[str]:
    """The servers that fail most checks through a2wsgi, and how."""
    return [
        f"{kind.upper()} on {pair} ({fault})"
        for kind, faults in finding.get("broken", {}).items()
        for pair, fault in faults.items()
    ]


def make_table(finding: Finding) -> Table:
    """What the application keeps, by application and server."""
    columns = ["", "checks", "WebSocket", "lifespan", "request in pieces", "reply in pieces", "the client leaves"]
    return Table(
        "What an application keeps through a2wsgi",
        [*columns, f"listeners held, of {LISTENERS}"],
        [make_row(kind, pair, row) for kind in RUNS for pair, row in finding[kind].items()],
        f"One worker, {THREADS} threads. The first of each kind is the control: its own interface, without a2wsgi.",
    )


def make_row(kind: str, pair: str, measured: dict[str, Any]) -> list[str]:
    """One application on one server."""
    checks = f"{len(contract.CHECKS) - len(measured['faults'])} of {len(contract.CHECKS)}"
    row = [f"{kind.upper()} application on {pair}", checks]
    row += ["–" if name not in measured else "yes" if measured[name] else "no" for name in YES]
    if "held" not in measured:
        return [*row, "–", "–"]
    held = "all" if measured["held"] == LISTENERS else str(measured["held"])
    return [*row, describe_leaving(measured["pieces after leaving"]), held]
