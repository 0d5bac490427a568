"""C28: when WSGI, and when ASGI? What happens to client N+1, what CPU work gains, and where HTTP/2 and 3 end."""

import pytest

from tests.claims import Claim, Conclusion, Finding, Table, listeners, single_server
from tests.claims.single_server import SingleServer, SingleServers
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim(
    "C28",
    "Use WSGI if the application is synchronous and has no WebSocket or server-sent events; use ASGI for real "
    "concurrency, WebSocket, HTTP/2 and 3, streaming, “faster APIs”",
    also=("test_what_stays_open_on_every_server", "test_a_websocket_echoes_text_and_bytes"),
)
WORKERS, THREADS = 2, 4
CROWD, SLOW, WAIT = 96, 24, 0.25  # hypercorn has up to 32 threads a worker, whatever the setting
BOTH = ("granian", "gunicorn", "hypercorn", "uvicorn")
ROUNDS, BURNS, BURN = 3, 8, 150_000
HELLOS = 600


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_happens_to_the_next_client(servers: SingleServers, finding: Finding) -> None:
    """Listeners that stay, and slow requests all at once, at two workers of four threads."""
    for server, interface in single_server.with_workers():  # not those of one process: at equal workers
        with servers.serving(server, interface, WORKERS=str(WORKERS), THREADS=str(THREADS)) as one:
            ends = listeners.together(one, SLOW, f"/wait/{WAIT * 1000:.0f}")
            crowd = listeners.crowd(one, CROWD, "/events/600?pause=100")
        assert ends[0] >= WAIT * 0.99, "nobody is answered before the wait is over"
        found = crowd | {"last": round(ends[-1], 2)}
        finding.setdefault("crowd", {}).setdefault(interface, {})[server] = found


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", BOTH)
def test_what_cpu_work_gains(servers: SingleServers, server: str, finding: Finding) -> None:
    """The same requests on both interfaces of one server, in turn: CPU time, which a busy machine changes little."""
    found: dict[str, dict[str, list[float]]] = {i: {"burn": [], "hello": []} for i in ("asgi", "wsgi")}
    with (
        servers.serving(server, "asgi", THREADS=str(THREADS)) as asgi,
        servers.serving(server, "wsgi", THREADS=str(THREADS)) as wsgi,
    ):
        for _ in range(ROUNDS):
            for interface, one in (("asgi", asgi), ("wsgi", wsgi)):
                before = one.cpu()
                listeners.together(one, BURNS, f"/burn/{BURN}")
                between = one.cpu()
                hellos(one)
                found[interface]["burn"].append(round((between - before) / BURNS, 4))
                found[interface]["hello"].append(round((one.cpu() - between) / HELLOS * 1e6))
    finding.setdefault("cpu", {})[server] = found


def hellos(one: SingleServer) -> None:
    """Small requests on one connection, one after the other."""
    connection = one.connection()
    for _ in range(HELLOS):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"Hello, world!\n"
    connection.close()


def test_http_2_and_3_end_at_the_proxy(stack: StackUnderTest, finding: Finding) -> None:
    """A WSGI application answers a client of each version, and is spoken to in 1.1."""
    stack.serve("granian", "wsgi")
    for proxy in DEFAULT_PROXIES:
        for version in ("2", "3"):
            seen = stack.get(proxy, "/request", version).json()
            finding.setdefault("versions", {})[f"{proxy} HTTP/{version}"] = [seen["interface"], seen["http_version"]]


def conclude(found: Finding) -> Conclusion:
    """With a limit where a reason given for ASGI is one for a proxy, or none; thresholds far from what is found."""
    asgi, wsgi = found["crowd"]["asgi"], found["crowd"]["wsgi"]
    streaming = {server: one for server, one in wsgi.items() if one["held"]}  # one that holds none sends all at the end
    held = [one["held"] for one in streaming.values()] or [0]
    concurrent = all(one["held"] == CROWD and one["next"] is not None for one in asgi.values())
    blocked = bool(streaming) and all(one["held"] < CROWD for one in streaming.values())  # the rest had no event
    ratio = {
        server: {
            "burn": min(one["asgi"]["burn"]) / min(one["wsgi"]["burn"]),
            "hello": min(one["asgi"]["hello"]) / max(min(one["wsgi"]["hello"]), 1),
        }
        for server, one in found["cpu"].items()
    }
    gains = [server for server, one in ratio.items() if one["burn"] < 0.5]
    proxied = all(value == ["wsgi", "1.1"] for value in found["versions"].values())
    burns = [one["burn"] for one in ratio.values()]
    least = min(one["held"] for one in asgi.values())
    evidence = (
        f"Real concurrency: at {WORKERS} workers of {THREADS} threads ASGI servers hold {least} of {CROWD} listeners "
        f"and answer the next client at once; WSGI servers that stream hold {min(held)} to {max(held)}, and the others "
        f"wait. CPU-bound work gains {'much' if gains else 'nothing'}: it takes ASGI "
        f"{min(burns):.2f} to {max(burns):.2f} times the CPU time of WSGI on the same server. HTTP/2 and 3 are no "
        f"reason: through {len(DEFAULT_PROXIES)} proxies a WSGI application answers clients of both, and is spoken to in "
        f"{'HTTP/1.1' if proxied else 'other versions'}."
    )
    rows = [
        [
            f"{server} {interface}",
            "all" if one["held"] == CROWD else str(one["held"]),
            "–" if not one["held"] else "at once" if one["next"] is not None else "waits, too",
            f"{one['last']:.1f} s",
        ]
        for interface, some in found["crowd"].items()
        for server, one in some.items()
    ]
    crowd = Table(
        "What happens to the next client",
        ["server", f"listeners held, of {CROWD}", "the next client", f"{SLOW} waits of {WAIT} s at once: the last"],
        rows,
        f"{WORKERS} workers, {THREADS} threads where the server's script takes a number; asked without a proxy. "
        "A server that holds none sends a stream when it is over; where listeners wait and the next client does not, "
        "one worker took more connections than it has threads, and another is idle.",
    )
    spread = [
        [
            server,
            *(f"{min(one[i]['burn']) * 1000:.0f}–{max(one[i]['burn']) * 1000:.0f} ms" for i in ("asgi", "wsgi")),
            f"{ratio[server]['burn']:.2f}",
            *(f"{min(one[i]['hello'])}–{max(one[i]['hello'])} µs" for i in ("asgi", "wsgi")),
        ]
        for server, one in found["cpu"].items()
    ]
    columns = ["server", "CPU work, ASGI", "WSGI", "ratio of the best", "small request, ASGI", "WSGI"]
    note = (
        f"CPU time of the whole container per request; one worker; {ROUNDS} rounds in turn. CPU work: {BURNS} requests "
        f"at once of {BURN} rounds of SHA-256. Small requests: {HELLOS} on one connection."
    )
    cpu = Table("What CPU work gains", columns, spread, note)
    if not (concurrent and blocked):
        return Conclusion("never was", evidence, (crowd, cpu))
    return Conclusion("holds with a limit" if proxied or not gains else "holds", evidence, (crowd, cpu))
