"""C10: the server turns a request into native objects. Are the objects the same on every server?"""

import ast
import json
import re
from collections import Counter
from typing import Any

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.server_starter import APPS, SingleServers
from tests.support.engine import inspect
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
OBJECTS = {"wsgi.input", "wsgi.errors"}  # may be of any type that has the right methods
SAME = ("method", "path", "root_path", "query", "scheme", "http_version")


def mask(key: str, kind: str, value: str, names: dict[str, str]) -> str:
    """A value without what differs between runs: addresses, ports, and the names of objects.

    `names`: texts of this run, and what stands for them.
    """
    if key == "headers":
        return "with `x_under`" if "x_under" in value else "without `x_under`"
    if key == "asgi":
        return f"spec {ast.literal_eval(value).get('spec_version', 'unnamed')}"
    if value.startswith("<") or len(value) > 200 or (key == "REMOTE_PORT" and value != "'0'"):
        return kind
    for text, name in names.items():
        value = value.replace(text, name)
    value = re.sub(r"(?<=peer', )('?)\d+", r"\1port", value)
    return f"`{value}`" + (f" ({kind})" if value.isdigit() else "")


@pytest.mark.long
def test_every_server_hands_over_the_request_and_each_in_its_own_words(
    servers: SingleServers, finding: Finding
) -> None:
    for server, interface in serve.pairs():
        with servers.serving(server, interface, APPS / interface / "native_objects.py") as single:
            values = json.loads(single.raw(REQUEST).partition(b"\r\n\r\n")[2])
            names = {single.container[:12]: "its host name", single.address: "its address"}
            gateway = inspect(single.container)["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        key, path = PATH[interface]
        assert values[key][1] == path, "the path is decoded, as each interface demands"
        masked_values = {}
        for name, (kind, value) in sorted(values.items()):
            masked_values[name] = [kind, mask(name, kind, value, names | {gateway: "peer"})]
        finding.setdefault("raw", {}).setdefault(interface, {})[server] = masked_values


@pytest.mark.long
@pytest.mark.timeout(400)
def test_through_the_gateway_they_are_the_same_request(stack: StackUnderTest, finding: Finding) -> None:
    for server, interface in serve.pairs():
        stack.serve(server, interface)
        answer = stack.get("nginx", "/request/caf%C3%A9%20x?a=1&b=%20+c", headers={"X-MiXed": "One"}).json()
        request = {key: answer[key] for key in SAME} | {"client": answer["client"][0]}
        request["headers"] = {
            key: value for key, value in answer["headers"].items() if key in ("host", "x-mixed", "x-forwarded-proto")
        }
        assert request["client"] == stack.gateway() and request["headers"]["x-mixed"] == "One"
        request["client"], request["headers"]["host"] = "the real one", request["headers"]["host"].partition(":")[0]
        finding.setdefault("gateway", {})[f"{server} {interface}"] = request
        types = {key: kind for key, kind in answer["native"].items() if key in REQUIRED[interface] - OBJECTS}
        finding.setdefault("types", {}).setdefault(interface, {})[server] = types


def find_differing_keys(servers: dict[str, dict[str, Any]]) -> list[str]:
    """The keys whose values differ between servers."""
    keys = sorted({key for words in servers.values() for key in words})
    return [key for key in keys if len({json.dumps(words.get(key)) for words in servers.values()}) > 1]


def conclude(finding: Finding) -> Conclusion:
    """Holds if every server hands over what its interface requires; with a limit where the objects differ."""
    missing, odd_types = find_missing(finding["raw"]), find_odd_types(finding["types"])
    alike = len({json.dumps(request, sort_keys=True) for request in finding["gateway"].values()}) == 1
    verdict: Verdict
    if missing or not alike:
        verdict = "never was"
    elif any(find_differing_keys(servers) for servers in finding["raw"].values()):
        verdict = "holds with a limit"
    else:
        verdict = "holds"
    evidence = write_evidence(finding["raw"], missing, alike, odd_types)
    return Conclusion(verdict, evidence, tuple(make_table(*item) for item in finding["raw"].items()))


def find_missing(raw: dict[str, Any]) -> set[str]:
    """The servers that leave out a key that their interface requires, with the keys."""
    return {
        f"{server} ({interface}): {', '.join(sorted(REQUIRED[interface] - set(values)))}"
        for interface, servers in raw.items()
        for server, values in servers.items()
        if REQUIRED[interface] - set(values)
    }


def find_odd_types(types: dict[str, Any]) -> list[str]:
    """The keys whose type is not the same on every server, with the servers that differ from most."""
    odd_types = []
    for servers in types.values():
        for key in sorted({key for kinds in servers.values() for key in kinds}):
            kinds = {server: own.get(key, "missing") for server, own in servers.items()}
            usual = Counter(kinds.values()).most_common(1)[0][0]
            different = [f"{kind} on {server}" for server, kind in kinds.items() if kind != usual]
            odd_types += [f"{key} ({', '.join(different)})"] if different else []
    return odd_types


def find_believing(raw: dict[str, Any]) -> list[str]:
    """The servers that take the client's address from X-Forwarded-For, where the peer is trusted."""
    return [
        f"{server} ({interface})"
        for interface, servers in raw.items()
        for server, values in servers.items()
        if FORWARDED[0] in values["client" if interface == "asgi" else "REMOTE_ADDR"][1]
    ]


def count_keys(servers: dict[str, Any]) -> tuple[int, int]:
    """How many keys differ between servers, and how many keys there are."""
    return len(find_differing_keys(servers)), len({key for values in servers.values() for key in values})


def write_evidence(raw: dict[str, Any], missing: set[str], alike: bool, odd_types: list[str]) -> str:
    """What differs in the objects, and what the stack's gateway makes of the differences."""
    counts = {interface: count_keys(servers) for interface, servers in raw.items()}
    return (
        f"All {sum(map(len, raw.values()))} pairs of server and interface hand over an object"
        + (f", {len(missing)} of them without what is required ({'; '.join(sorted(missing))})" if missing else "")
        + f", but of {counts['asgi'][1]} scope keys {counts['asgi'][0]} differ from server to server, and of "
        f"{counts['wsgi'][1]} environ keys {counts['wsgi'][0]}: who the client is, the scheme, types of ports. "
        f"The client's real address comes from {', '.join(find_believing(raw)) or 'none'} only. "
        f"Behind NGINX, with this stack's gateway, the request is {'the same' if alike else 'not the same'} on all"
        + (f", but for the type of {', '.join(odd_types)}." if odd_types else ".")
    )


def make_table(interface: str, servers: dict[str, Any]) -> Table:
    """The keys of one interface that differ, by server."""
    differing, total = count_keys(servers)
    rows = [
        [f"`{key}`", *(servers[server][key][1] if key in servers[server] else "–" for server in servers)]
        for key in find_differing_keys(servers)
    ]
    title = f"What differs in the {'scope' if interface == 'asgi' else 'environ'} of one request, by server"
    note = (
        f"Asked directly, from a peer that each server is told to trust, with `X-Forwarded-For: {FORWARDED[0]}` "
        f"and `X-Forwarded-Proto: {FORWARDED[1]}`; no gateway. `peer`: the connection's address. –: no such key. "
        f"The other {total - differing} keys are the same on all."
    )
    return Table(title, ["key", *servers], rows, note)
