"""C02: which versions of HTTP are there, what is each known for, and who speaks which?"""

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.probe import servers
from tests.claims.protocols import FEATURES, Protocols, Row, says
from tests.support.engine import docker

CLAIM = Claim(
    "C02",
    "HTTP has versions 0.9, 1.0, 1.1 (persistent connections, chunked), 2 (binary, multiplexed, HPACK) and 3 "
    "(QUIC, not TCP)",
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first builds an image
VERSIONS = {"0.9": "0.9", "1.0": "1.0", "1.1": "1.1 keep-alive", "2": "h2 by ALPN", "3": "HTTP/3"}
PAIRS = [pytest.param(*pair, id="-".join(pair)) for pair in serve.pairs()]


@pytest.mark.parametrize(("server", "interface"), PAIRS)
def test_a_server_alone_is_asked_for_every_feature(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    row = protocols.alone(server, interface)
    assert set(row["features"]) == set(FEATURES)
    assert says(row, "1.0") or protocols.pinned, f"{server} does not answer: {row['starts']}"
    finding.setdefault("alone", {})[f"{server} {interface}"] = row


@pytest.mark.parametrize(("server", "interface"), PAIRS)
def test_each_proxy_in_front_of_a_server_is_asked_for_every_feature(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    for proxy, row in protocols.behind(server, interface).items():
        assert set(row["features"]) == set(FEATURES)
        assert says(row, "1.0") or protocols.pinned, f"{proxy} does not answer"
        finding.setdefault("behind", {}).setdefault(proxy, {})[f"{server} {interface}"] = row


def test_each_probe_can_say_yes_and_no(protocols: Protocols) -> None:
    """What nobody doubts: wsgiref is HTTP/1.0, the proxies are not, and hypercorn has WebSockets over HTTP/2."""
    reference = protocols.alone("wsgiref", "wsgi")
    unknown = [feature for feature in FEATURES if says(reference, feature)]
    assert unknown == ["1.0", "server-sent events"]
    granian = protocols.alone("granian", "asgi")
    assert granian["features"]["HTTP/3"] == ["no", "UDP refused"], "TLS on TCP alone is no HTTP/3"
    proxies = protocols.behind("granian", "asgi")
    hypercorn, gunicorn = protocols.alone("hypercorn", "asgi"), protocols.alone("gunicorn", "asgi")
    ever = {feature for row in (*proxies.values(), hypercorn, gunicorn) for feature in FEATURES if says(row, feature)}
    assert protocols.pinned or set(FEATURES) - ever <= {"0.9"}


def test_nginx_answers_http_0_9_only_where_a_name_is_not_asked_for(protocols: Protocols, finding: Finding) -> None:
    """A request of HTTP/0.9 names no host: the site's port does not answer, the health check's own does."""
    ask = "exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /healthz%s\\r\\n\\r\\n' >&3; cat <&3"
    (container,) = protocols.compose.containers("nginx")
    bare, named = (docker("exec", container, "bash", "-c", ask.replace("%s", one)) for one in ("", " HTTP/1.0"))
    assert named.startswith("HTTP/1."), "the control: with a version comes a status line"
    finding["nginx, 0.9"] = bare
    assert protocols.through("nginx")["features"]["0.9"][0] == "no"


def rows_of(found: Finding) -> dict[str, Row]:
    """Every place that was asked: the servers alone, and each proxy (in front of one server)."""
    return found["alone"] | {proxy: rows[" ".join(servers.REFERENCE)] for proxy, rows in found["behind"].items()}


def conclude(found: Finding) -> Conclusion:
    """Holds if somebody speaks each version as described; with a limit, if only 0.9 has nobody in service."""
    places = rows_of(found)
    speakers = {one: [name for name, row in places.items() if says(row, key)] for one, key in VERSIONS.items()}
    two = {name: row["h2"] for name, row in places.items() if row["h2"]}
    multiplexed = [name for name, one in two.items() if one["multiplexed"][0] == "yes"]
    packed = [name for name, one in two.items() if one["header bytes"][0] == "yes"]
    chunked = [
        name for name, row in places.items() if says(row, "1.1 chunked reply") and says(row, "1.1 chunked request")
    ]
    controls = [one["control"][0] == "no" for one in two.values() if "control" in one]
    shown = all([speakers["1.1"], chunked, multiplexed, packed, controls, all(controls)])
    missing = [version for version, names in speakers.items() if not names]
    verdict: Verdict = (
        "holds" if shown and not missing else "holds with a limit" if shown and missing == ["0.9"] else "no longer true"
    )
    first, second = next(iter(two.values()))["header bytes"][2] if two else (0, 0)
    spoken = ", ".join(f"{version}: {len(names)}" for version, names in speakers.items())
    old = (
        " NGINX still answers 0.9 with the bare body where no host name is needed."
        if found["nginx, 0.9"] == "ok"
        else ""
    )
    evidence = (
        f"Of {len(places)} places ({len(found['alone'])} servers alone, {len(found['behind'])} proxies) speak {spoken} "
        f"({', '.join(speakers['3'])}; over UDP, never TCP)."
        f"{old} HTTP/2: two requests on one connection meet in the application at {len(multiplexed)} of {len(two)}; a "
        f"request of {first} bytes costs {second} the second time."
    )
    return Conclusion(
        verdict,
        evidence,
        (versions(places), alone(found["alone"]), seen(found["alone"]), behind(found), properties(two)),
    )


def mark(row: Row, feature: str) -> str:
    """A cell."""
    return "✓" if says(row, feature) else "–"


def versions(places: dict[str, Row]) -> Table:
    """Who speaks which version."""
    rows = [[name, *(mark(row, feature) for feature in VERSIONS.values())] for name, row in places.items()]
    note = (
        "Servers alone, in the best configuration that the release offers; the proxies as this stack configures them."
    )
    return Table("Who speaks which version", ["", *VERSIONS], rows, note)


def alone(rows: dict[str, Row]) -> Table:
    """Every feature of every server."""
    lines = [[feature, *(mark(row, feature) for row in rows.values())] for feature in FEATURES]
    return Table("Every feature, servers alone", ["", *rows], lines)


def seen(rows: dict[str, Row]) -> Table:
    """What was seen: for each feature, the notes and who earned them."""
    lines = []
    for feature in FEATURES:
        notes: dict[str, list[str]] = {}
        for name, row in rows.items():
            notes.setdefault(f"{mark(row, feature)} {row['features'][feature][1]}".strip(), []).append(name)
        text = "; ".join(f"{note}: {', '.join(names)}" for note, names in sorted(notes.items()) if len(note) > 1)
        lines += [[feature, text]] if text else []
    note = (
        "What these probes ask answers every path: a WebSocket handshake is a plain 200 to an application without them."
    )
    return Table("What was seen", ["feature", "✓ how, – what instead"], lines, note)


def behind(found: Finding) -> Table:
    """Every feature behind each proxy: mostly the proxy's own doing."""
    lines = []
    for feature in FEATURES:
        cells = []
        for rows in found["behind"].values():
            good = [name for name, row in rows.items() if says(row, feature)]
            bad = [name for name in rows if name not in good]
            notes = sorted({row["features"][feature][1] for row in rows.values()} - {""})
            mixed = f"✓ not with {', '.join(bad)}" if len(bad) < len(good) else f"✓ with {', '.join(good)}"
            both = "✓" if not bad else "–" if not good else mixed
            cells.append(both + (f" {'; '.join(notes)}" if len(notes) == 1 else ""))
        lines.append([feature, *cells])
    note = "In front of every server as its script starts it. One mark: the same with all."
    return Table("Every feature, behind each proxy", ["", *found["behind"]], lines, note)


def properties(two: dict[str, Row]) -> Table:
    """What HTTP/2 promises."""
    rows = [
        [
            name,
            one["multiplexed"][0],
            one.get("control", [""])[0],
            " → ".join(str(size) for size in one["header bytes"][2]),
            f"{one['h2load']['reply headers saved']} %",
        ]
        for name, one in two.items()
    ]
    columns = [
        "",
        "two requests meet",
        "the same by HTTP/1.1 pipelining",
        "request bytes, first → second",
        "h2load: saved in replies",
    ]
    note = "Two requests meet if the application has both at once, sent over one connection. 40 replies, by h2load."
    return Table("What HTTP/2 promises", columns, rows, note)
