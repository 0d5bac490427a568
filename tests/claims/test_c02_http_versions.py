"""C02: which versions of HTTP are there, what is each known for, and which server or proxy speaks which?"""

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.probe import servers
from tests.claims.support.protocols import FEATURES, Protocols, Row, speaks
from tests.support.engine import exec_in

CLAIM = Claim(
    "C02",
    "HTTP has versions 0.9, 1.0, 1.1 (persistent connections, chunked), 2 (binary, multiplexed, HPACK) and 3 "
    "(QUIC, not TCP)",
)
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the first test builds an image
VERSIONS = {"0.9": "0.9", "1.0": "1.0", "1.1": "1.1 keep-alive", "2": "h2 by ALPN", "3": "HTTP/3"}
PAIRS = [pytest.param(*pair, id="-".join(pair)) for pair in serve.pairs()]


@pytest.mark.parametrize(("server", "interface"), PAIRS)
def test_a_server_alone_is_asked_for_every_feature(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    row = protocols.probe_server(server, interface)
    assert set(row["features"]) == set(FEATURES)
    assert speaks(row, "1.0") or protocols.pinned, f"{server} does not answer: {row['starts']}"
    finding.setdefault("as a single server", {})[f"{server} {interface}"] = row


@pytest.mark.parametrize(("server", "interface"), PAIRS)
def test_each_proxy_in_front_of_a_server_is_asked_for_every_feature(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    for proxy, row in protocols.probe_behind_proxies(server, interface).items():
        assert set(row["features"]) == set(FEATURES)
        assert speaks(row, "1.0") or protocols.pinned, f"{proxy} does not answer"
        finding.setdefault("behind", {}).setdefault(proxy, {})[f"{server} {interface}"] = row


def test_each_probe_can_say_yes_and_no(protocols: Protocols) -> None:
    """Controls that are certain: wsgiref speaks HTTP/1.0 only, and the places together speak every other feature."""
    reference = protocols.probe_server("wsgiref", "wsgi")
    spoken = [feature for feature in FEATURES if speaks(reference, feature)]
    assert spoken == ["1.0", "server-sent events"]
    granian = protocols.probe_server("granian", "asgi")
    assert granian["features"]["HTTP/3"] == ["no", "UDP refused"], "TLS on TCP alone is no HTTP/3"
    proxies = protocols.probe_behind_proxies("granian", "asgi")
    hypercorn, gunicorn = protocols.probe_server("hypercorn", "asgi"), protocols.probe_server("gunicorn", "asgi")
    rows = (*proxies.values(), hypercorn, gunicorn)
    spoken_somewhere = {feature for row in rows for feature in FEATURES if speaks(row, feature)}
    assert protocols.pinned or set(FEATURES) - spoken_somewhere <= {"0.9"}


def test_nginx_answers_http_0_9_only_where_a_name_is_not_asked_for(protocols: Protocols, finding: Finding) -> None:
    """A request of HTTP/0.9 names no host. So the site's port does not answer, and the health check's port does."""
    script = "exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /healthz%s\\r\\n\\r\\n' >&3; cat <&3"
    container = protocols.container("nginx")
    bare, versioned = (exec_in(container, "bash", "-c", script.replace("%s", version)) for version in ("", " HTTP/1.0"))
    assert versioned.startswith("HTTP/1."), "the control: an answer to a versioned request has a status line"
    finding["nginx, 0.9"] = bare
    assert protocols.probe_proxy("nginx")["features"]["0.9"][0] == "no"


def conclude(finding: Finding) -> Conclusion:
    """Holds if some place speaks each version as described; with a limit if only version 0.9 is spoken by none."""
    places = collect_places(finding)
    missing = [version for version, names in find_speakers(places).items() if not names]
    shown = is_every_property_shown(places)
    verdict: Verdict = (
        "holds" if shown and not missing else "holds with a limit" if shown and missing == ["0.9"] else "no longer true"
    )
    servers_only = finding["as a single server"]
    tables = (
        make_versions_table(places),
        make_features_table(servers_only),
        make_notes_table(servers_only),
        make_proxies_table(finding),
        make_http2_table(collect_http2(places)),
    )
    return Conclusion(verdict, write_evidence(finding, places), tables)


def collect_places(finding: Finding) -> dict[str, Row]:
    """Every place that was asked: the servers without a proxy, and each proxy (in front of one server)."""
    reference = " ".join(servers.REFERENCE)
    return finding["as a single server"] | {proxy: rows[reference] for proxy, rows in finding["behind"].items()}


def find_speakers(places: dict[str, Row]) -> dict[str, list[str]]:
    """By version of HTTP: the places that speak it."""
    return {
        version: [name for name, row in places.items() if speaks(row, feature)] for version, feature in VERSIONS.items()
    }


def collect_http2(places: dict[str, Row]) -> dict[str, Row]:
    """What HTTP/2 promises, by place that speaks it."""
    return {name: row["h2"] for name, row in places.items() if row["h2"]}


def find_multiplexing(http2: dict[str, Row]) -> list[str]:
    """The places where two requests on one HTTP/2 connection meet in the application."""
    return [name for name, row in http2.items() if row["multiplexed"][0] == "yes"]


def is_every_property_shown(places: dict[str, Row]) -> bool:
    """Whether some place keeps connections, chunks, multiplexes and compresses, and every control failed to."""
    http2 = collect_http2(places)
    compressing = [name for name, row in http2.items() if row["header bytes"][0] == "yes"]
    chunking = [
        name for name, row in places.items() if speaks(row, "1.1 chunked reply") and speaks(row, "1.1 chunked request")
    ]
    controls = [row["control"][0] == "no" for row in http2.values() if "control" in row]
    persistent = find_speakers(places)["1.1"]
    return all([persistent, chunking, find_multiplexing(http2), compressing, controls, all(controls)])


def write_evidence(finding: Finding, places: dict[str, Row]) -> str:
    """How many places speak each version, and what HTTP/2 was seen to do."""
    http2, speakers = collect_http2(places), find_speakers(places)
    first, second = next(iter(http2.values()))["header bytes"][2] if http2 else (0, 0)
    spoken = ", ".join(f"{version}: {len(names)}" for version, names in speakers.items())
    old = (
        " NGINX still answers 0.9 with the bare body where no host name is needed."
        if finding["nginx, 0.9"] == "ok"
        else ""
    )
    number = len(finding["as a single server"])
    return (
        f"Of {len(places)} places ({number} servers without a proxy, {len(finding['behind'])} proxies) speak {spoken} "
        f"({', '.join(speakers['3'])}; over UDP, never TCP)."
        f"{old} HTTP/2: two requests on one connection meet in the application at {len(find_multiplexing(http2))} of "
        f"{len(http2)}; a request of {first} bytes costs {second} the second time."
    )


def mark(row: Row, feature: str) -> str:
    """A cell."""
    return "✓" if speaks(row, feature) else "–"


def make_versions_table(places: dict[str, Row]) -> Table:
    """Which place speaks which version."""
    rows = [[name, *(mark(row, feature) for feature in VERSIONS.values())] for name, row in places.items()]
    note = (
        "Servers without a proxy, in the best configuration that the release offers; the proxies as this stack "
        "configures them."
    )
    return Table("Who speaks which version", ["", *VERSIONS], rows, note)


def make_features_table(server_rows: dict[str, Row]) -> Table:
    """Every feature of every server."""
    rows = [[feature, *(mark(row, feature) for row in server_rows.values())] for feature in FEATURES]
    return Table("Every feature, servers without a proxy", ["", *server_rows], rows)


def make_notes_table(server_rows: dict[str, Row]) -> Table:
    """For each feature: the notes of the probe, and the servers that earned them."""
    rows = []
    for feature in FEATURES:
        notes: dict[str, list[str]] = {}
        for name, row in server_rows.items():
            notes.setdefault(f"{mark(row, feature)} {row['features'][feature][1]}".strip(), []).append(name)
        text = "; ".join(f"{note}: {', '.join(names)}" for note, names in sorted(notes.items()) if len(note) > 1)
        rows += [[feature, text]] if text else []
    note = (
        "The probe's application answers every path. So an application without WebSockets answers a WebSocket "
        "handshake with a plain 200."
    )
    return Table("What was seen", ["feature", "✓ how, – what instead"], rows, note)


def make_proxies_table(finding: Finding) -> Table:
    """Every feature behind each proxy. Most features are the proxy's own."""
    behind = finding["behind"]
    rows = [[feature, *(mark_proxy(server_rows, feature) for server_rows in behind.values())] for feature in FEATURES]
    note = "In front of every server as its script starts it. One mark: the same with all."
    return Table("Every feature, behind each proxy", ["", *behind], rows, note)


def mark_proxy(server_rows: dict[str, Row], feature: str) -> str:
    """A cell: whether the proxy has the feature with every server behind it, with some, or with none."""
    good = [name for name, row in server_rows.items() if speaks(row, feature)]
    bad = [name for name in server_rows if name not in good]
    notes = sorted({row["features"][feature][1] for row in server_rows.values()} - {""})
    mixed = f"✓ not with {', '.join(bad)}" if len(bad) < len(good) else f"✓ with {', '.join(good)}"
    text = "✓" if not bad else "–" if not good else mixed
    return text + (f" {'; '.join(notes)}" if len(notes) == 1 else "")


def make_http2_table(http2: dict[str, Row]) -> Table:
    """What HTTP/2 promises."""
    rows = [
        [
            name,
            row["multiplexed"][0],
            row.get("control", [""])[0],
            " → ".join(str(size) for size in row["header bytes"][2]),
            f"{row['h2load']['reply headers saved']} %",
        ]
        for name, row in http2.items()
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
