"""C10: the server turns the request into native objects; are they the same ones?"""

import ast
import json
import re
from collections import Counter
from typing import Any

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, single_server
from tests.claims.single_server import SingleServers
from tests.support.engine import docker
from tests.support.stack import StackUnderTest

CLAIM = Claim(
    "C10",
    "The application server turns an HTTP request from the proxy into native objects (`environ`; `scope`)",
    also=("test_the_app_sees_the_real_client_address_and_scheme",),
)
REQUEST = (
    b"GET /base/caf%C3%A9%20x?a=1&b=%20+c HTTP/1.1\r\nHost: example.org:81\r\nX-MiXed: One\r\nX-Twice: a\r\n"
    b"X-Twice: b\r\nX_Under: u\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
)
FORWARDED = ("203.0.113.9", "https")
PATH = {"asgi": ("path", "'/base/café x'"), "wsgi": ("PATH_INFO", repr("/base/café x".encode().decode("latin-1")))}
WSGI_KEYS = ("version", "url_scheme", "input", "errors", "multithread", "multiprocess", "run_once")
REQUIRED = {
    "asgi": {"type", "asgi", "http_version", "method", "path", "query_string", "headers"},
    "wsgi": {"REQUEST_METHOD", "PATH_INFO", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"}
    | {f"wsgi.{key}" for key in WSGI_KEYS},
}
OBJECTS = {"wsgi.input", "wsgi.errors"}  # any type with the right methods
SAME = ("method", "path", "root_path", "query", "scheme", "http_version")


def masked(key: str, kind: str, value: str, own: dict[str, str]) -> str:
    """A value without what no two runs share: addresses, ports, and the names of objects."""
    if key == "headers":
        return "with `x_under`" if "x_under" in value else "without `x_under`"
    if key == "asgi":
        return f"spec {ast.literal_eval(value).get('spec_version', 'unnamed')}"
    if value.startswith("<") or len(value) > 200 or (key == "REMOTE_PORT" and value != "'0'"):
        return kind
    for known, name in own.items():
        value = value.replace(known, name)
    value = re.sub(r"(?<=peer', )('?)\d+", r"\1port", value)
    return f"`{value}`" + (f" ({kind})" if value.isdigit() else "")


@pytest.mark.long
def test_every_server_hands_over_the_request_and_each_in_its_own_words(
    servers: SingleServers, finding: Finding
) -> None:
    for server, interface in serve.pairs():
        with servers.serving(server, interface, single_server.PROBES / f"raw_{interface}.py") as one:
            seen = json.loads(one.raw(REQUEST).partition(b"\r\n\r\n")[2])
            own = {one.container[:12]: "its host name", one.address: "its address"}
            gateway = docker("inspect", "--format", "{{.NetworkSettings.Gateway}}", one.container)
        key, path = PATH[interface]
        assert seen[key][1] == path, "the path is decoded, as each interface demands"
        words = {}
        for name, (kind, value) in sorted(seen.items()):
            words[name] = [kind, masked(name, kind, value, own | {gateway: "peer"})]
        finding.setdefault("raw", {}).setdefault(interface, {})[server] = words


@pytest.mark.long
@pytest.mark.timeout(400)
def test_through_the_gateway_they_are_the_same_request(stack: StackUnderTest, finding: Finding) -> None:
    for server, interface in serve.pairs():
        stack.serve(server, interface)
        answer = stack.get("nginx", "/request/caf%C3%A9%20x?a=1&b=%20+c", headers={"X-MiXed": "One"}).json()
        said = {key: answer[key] for key in SAME} | {"client": answer["client"][0]}
        said["headers"] = {
            key: value for key, value in answer["headers"].items() if key in ("host", "x-mixed", "x-forwarded-proto")
        }
        assert said["client"] == stack.gateway() and said["headers"]["x-mixed"] == "One"
        said["client"], said["headers"]["host"] = "the real one", said["headers"]["host"].partition(":")[0]
        finding.setdefault("gateway", {})[f"{server} {interface}"] = said
        types = {key: kind for key, kind in answer["native"].items() if key in REQUIRED[interface] - OBJECTS}
        finding.setdefault("types", {}).setdefault(interface, {})[server] = types


def differing(servers: dict[str, dict[str, Any]]) -> list[str]:
    """The keys that not all servers hand over alike."""
    keys = sorted({key for words in servers.values() for key in words})
    return [key for key in keys if len({json.dumps(words.get(key)) for words in servers.values()}) > 1]


def conclude(found: Finding) -> Conclusion:
    """Holds if every server hands over what its interface requires; with a limit where the objects are not alike."""
    raw, tables = found["raw"], []
    missing = {
        f"{server} ({interface}): {', '.join(sorted(REQUIRED[interface] - set(words)))}"
        for interface, servers in raw.items()
        for server, words in servers.items()
        if REQUIRED[interface] - set(words)
    }
    counts = {}
    for interface, servers in raw.items():
        odd = differing(servers)
        every = {key for words in servers.values() for key in words}
        counts[interface] = (len(odd), len(every))
        rows = [[f"`{key}`", *(servers[s][key][1] if key in servers[s] else "–" for s in servers)] for key in odd]
        title = f"What differs in the {'scope' if interface == 'asgi' else 'environ'} of one request, by server"
        note = (
            f"Asked directly, from a peer that each server is told to trust, with `X-Forwarded-For: {FORWARDED[0]}` "
            f"and `X-Forwarded-Proto: {FORWARDED[1]}`; no gateway. `peer`: the connection's address. –: no such key. "
            f"The other {len(every) - len(odd)} keys are the same on all."
        )
        tables.append(Table(title, ["key", *servers], rows, note))
    alike = len({json.dumps(said, sort_keys=True) for said in found["gateway"].values()}) == 1
    odd_types = [
        f"{key} ({', '.join(f'{kind} on {server}' for server, kind in kinds.items() if kind != usual)})"
        for servers in found["types"].values()
        for key in sorted({key for types in servers.values() for key in types})
        for kinds in [{server: types.get(key, "missing") for server, types in servers.items()}]
        for usual in [Counter(kinds.values()).most_common(1)[0][0]]
        if len(set(kinds.values())) > 1
    ]
    believes = [
        f"{server} ({interface})"
        for interface, servers in raw.items()
        for server, words in servers.items()
        if FORWARDED[0] in words["client" if interface == "asgi" else "REMOTE_ADDR"][1]
    ]
    evidence = (
        f"All {sum(map(len, raw.values()))} pairs of server and interface hand over an object"
        + (f", {len(missing)} of them without what is required ({'; '.join(sorted(missing))})" if missing else "")
        + f", but of {counts['asgi'][1]} scope keys {counts['asgi'][0]} differ from server to server, and of "
        f"{counts['wsgi'][1]} environ keys {counts['wsgi'][0]}: who the client is, the scheme, types of ports. "
        f"The client's real address comes from {', '.join(believes) or 'none'} only. "
        f"Behind NGINX, with this stack's gateway, the request is {'the same' if alike else 'not the same'} on all"
        + (f", but for the type of {', '.join(odd_types)}." if odd_types else ".")
    )
    verdict = (
        "never was"
        if missing or not alike
        else "holds with a limit"
        if any(differing(servers) for servers in raw.values())
        else "holds"
    )
    return Conclusion(verdict, evidence, tuple(tables))  # type: ignore[arg-type]
