"""C28: when WSGI, and when ASGI? The next client after many, CPU-bound work, and where HTTP/2 and HTTP/3 end."""

from typing import Any

import pytest

from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.event_listeners import hold_listeners, time_gets_at_once
from tests.claims.support.server_scripts import find_servers_with_workers
from tests.claims.support.server_starter import SingleServers
from tests.claims.support.single_server import SingleServer
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim(
    "C28",
    "Use WSGI if the application is synchronous and has no WebSocket or server-sent events; use ASGI for real "
    "concurrency, WebSocket, HTTP/2 and 3, streaming, “faster APIs”",
    also=("test_what_stays_open_on_every_server", "test_a_websocket_echoes_text_and_bytes"),
)
WORKERS, THREADS = 2, 4
LISTENERS, SLOW, WAIT = 96, 24, 0.25  # more than Hypercorn's 32 threads a worker, which no setting changes
BOTH = ("granian", "gunicorn", "hypercorn", "uvicorn")
ROUNDS, BURNS, BURN = 3, 8, 150_000
HELLOS = 600


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_happens_to_the_next_client(servers: SingleServers, finding: Finding) -> None:
    """Two workers of four threads get listeners that stay, and slow requests all at once."""
    for (
        server,
        interface,
    ) in find_servers_with_workers():  # servers of one process are left out, to compare equal numbers of workers
        with servers.serving(server, interface, WORKERS=str(WORKERS), THREADS=str(THREADS)) as single:
            seconds = time_gets_at_once(single, SLOW, f"/wait/{WAIT * 1000:.0f}")
            listeners = hold_listeners(single, LISTENERS, "/events/600?pause=100")
        assert seconds[0] >= WAIT * 0.99, "no request is answered before its wait is over"
        row = listeners | {"last": round(seconds[-1], 2)}
        finding.setdefault("crowd", {}).setdefault(interface, {})[server] = row


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", BOTH)
def test_what_cpu_work_gains(servers: SingleServers, server: str, finding: Finding) -> None:
    """The same requests on both interfaces of one server, in turn. The measure is CPU time of the container."""
    measured: dict[str, dict[str, list[float]]] = {
        interface: {"burn": [], "hello": []} for interface in ("asgi", "wsgi")
    }
    with (
        servers.serving(server, "asgi", THREADS=str(THREADS)) as asgi,
        servers.serving(server, "wsgi", THREADS=str(THREADS)) as wsgi,
    ):
        for _ in range(ROUNDS):
            for interface, single in (("asgi", asgi), ("wsgi", wsgi)):
                before = single.read_cpu()
                time_gets_at_once(single, BURNS, f"/burn/{BURN}")
                between = single.read_cpu()
                send_hellos(single)
                measured[interface]["burn"].append(round((between - before) / BURNS, 4))
                measured[interface]["hello"].append(round((single.read_cpu() - between) / HELLOS * 1e6))
    finding.setdefault("cpu", {})[server] = measured


def send_hellos(server: SingleServer) -> None:
    """Sends small requests on one connection, one after the other."""
    connection = server.connection()
    for _ in range(HELLOS):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Hello, world!\n"
    connection.close()


def test_http_2_and_3_end_at_the_proxy(stack: StackUnderTest, finding: Finding) -> None:
    """A WSGI application answers a client of each version, and the proxy speaks HTTP/1.1 to it."""
    stack.serve("granian", "wsgi")
    for proxy in DEFAULT_PROXIES:
        for version in ("2", "3"):
            request = stack.get(proxy, "/request", version).json()
            finding.setdefault("versions", {})[f"{proxy} HTTP/{version}"] = [
                request["interface"],
                request["http_version"],
            ]


def conclude(finding: Finding) -> Conclusion:
    """With a limit where a reason given for ASGI is a reason for a proxy, or none.

    The thresholds are far from the figures that were measured.
    """
    proxied = all(value == ["wsgi", "1.1"] for value in finding["versions"].values())
    gains = any(ratio < 0.5 for ratio in compare_cpu(finding).values())
    verdict: Verdict
    if not (are_all_held_by_asgi(finding) and are_some_blocked_by_wsgi(finding)):
        verdict = "never was"
    else:
        verdict = "holds with a limit" if proxied or not gains else "holds"
    tables = (make_listeners_table(finding["crowd"]), make_cpu_table(finding))
    return Conclusion(verdict, write_evidence(finding, gains, proxied), tables)


def are_all_held_by_asgi(finding: Finding) -> bool:
    """Whether every ASGI server holds all listeners and answers the next client."""
    rows = finding["crowd"]["asgi"].values()
    return all(row["held"] == LISTENERS and row["next"] is not None for row in rows)


def find_streaming_wsgi(finding: Finding) -> list[dict[str, Any]]:
    """The WSGI servers that hold a listener. A server that holds none sends the stream when it is over."""
    return [row for row in finding["crowd"]["wsgi"].values() if row["held"]]


def are_some_blocked_by_wsgi(finding: Finding) -> bool:
    """Whether every WSGI server that streams leaves some listeners without an event."""
    streaming = find_streaming_wsgi(finding)
    return bool(streaming) and all(row["held"] < LISTENERS for row in streaming)


def compare_cpu(finding: Finding) -> dict[str, float]:
    """By server: the CPU time of CPU-bound work on ASGI over that on WSGI, each the best of its rounds."""
    return {server: min(row["asgi"]["burn"]) / min(row["wsgi"]["burn"]) for server, row in finding["cpu"].items()}


def write_evidence(finding: Finding, gains: bool, proxied: bool) -> str:
    """What each reason for ASGI comes to."""
    held = [row["held"] for row in find_streaming_wsgi(finding)] or [0]
    least = min(row["held"] for row in finding["crowd"]["asgi"].values())
    ratios = compare_cpu(finding).values()
    return (
        f"Real concurrency: at {WORKERS} workers of {THREADS} threads ASGI servers hold {least} of {LISTENERS} "
        "listeners and answer the next client at once; WSGI servers that stream hold "
        f"{min(held)} to {max(held)}, and the others "
        f"wait. CPU-bound work gains {'much' if gains else 'nothing'}: it takes ASGI "
        f"{min(ratios):.2f} to {max(ratios):.2f} times the CPU time of WSGI on the same server. HTTP/2 and 3 are no "
        f"reason: through {len(DEFAULT_PROXIES)} proxies a WSGI application answers clients of both, and is spoken to "
        f"in {'HTTP/1.1' if proxied else 'other versions'}."
    )


def make_listeners_table(crowd: dict[str, Any]) -> Table:
    """How many listeners each server holds, and what happens to the next client."""
    rows = []
    for interface, servers in crowd.items():
        for server, row in servers.items():
            held = "all" if row["held"] == LISTENERS else str(row["held"])
            next_client = "–" if not row["held"] else "at once" if row["next"] is not None else "waits, too"
            rows.append([f"{server} {interface}", held, next_client, f"{row['last']:.1f} s"])
    return Table(
        "What happens to the next client",
        ["server", f"listeners held, of {LISTENERS}", "the next client", f"{SLOW} waits of {WAIT} s at once: the last"],
        rows,
        f"{WORKERS} workers, {THREADS} threads where the server's script takes a number; asked without a proxy. "
        "A server that holds none sends a stream when it is over; where listeners wait and the next client does not, "
        "one worker took more connections than it has threads, and another is idle.",
    )


def make_cpu_table(finding: Finding) -> Table:
    """The CPU time of a request on both interfaces, by server."""
    ratios = compare_cpu(finding)
    rows = [
        [
            server,
            *(f"{min(row[i]['burn']) * 1000:.0f}–{max(row[i]['burn']) * 1000:.0f} ms" for i in ("asgi", "wsgi")),
            f"{ratios[server]:.2f}",
            *(f"{min(row[i]['hello'])}–{max(row[i]['hello'])} µs" for i in ("asgi", "wsgi")),
        ]
        for server, row in finding["cpu"].items()
    ]
    columns = ["server", "CPU work, ASGI", "WSGI", "ratio of the best", "small request, ASGI", "WSGI"]
    note = (
        f"CPU time of the whole container per request; one worker; {ROUNDS} rounds in turn. CPU work: {BURNS} requests "
        f"at once of {BURN} rounds of SHA-256. Small requests: {HELLOS} on one connection."
    )
    return Table("What CPU work gains", columns, rows, note)
