"""Which features of HTTP does this place speak? Every feature, asked by real clients.

In the probe container, `python3 -m probe.features '{"clear": ["nginx", 8080], "tls": ["nginx", 8443]}'` prints JSON.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from . import http1, http2, http3
from .places import Address, Places, Result, describe_error


def read_blocks_1(places: Places, path: str) -> list[dict[str, str]]:
    """The header blocks of a reply over HTTP/1.1, in order: of 103, of the reply, and its trailers."""
    blocks: list[dict[str, str]] = []
    with http1.Wire(places) as wire:
        wire.send(f"GET {path}", "TE: trailers", "Connection: TE")
        while not blocks or blocks[-1][":status"].startswith("1"):
            answer = wire.answer()
            blocks.append(answer.headers | {":status": str(answer.status)})
    return [*blocks, answer.trailers]


def read_blocks_2(places: Places, path: str) -> list[dict[str, str]]:
    """The header blocks of a reply over HTTP/2."""
    with http2.connect(places) as connection:
        return [dict(event.headers) for event in connection.get(path, ("te", "trailers")) if hasattr(event, "headers")]


def read_blocks_3(places: Places, path: str) -> list[dict[str, str]]:
    """The header blocks of a reply over HTTP/3; none where the reply never ends."""
    assert places.tls
    try:
        return asyncio.run(http3.read_blocks(places.tls, path))[path]
    except TimeoutError:
        return []


READ_BLOCKS = {"1.1": read_blocks_1, "2": read_blocks_2, "3": read_blocks_3}


def ask_hints_and_trailers(places: Places, spoken: list[str]) -> dict[str, Result]:
    """Over which versions does a 103 come before the reply, and a trailer after its body?"""
    hinted, trailed = [], []
    for version in ("1.1", *spoken):
        read = READ_BLOCKS[version]
        early, late = read(places, "/hints"), read(places, "/trailers")
        hinted += [version] if early and "style.css" in early[0].get("link", "") else []
        trailed += [version] if late and late[-1].get("x-sum") == "7" else []
    tried = "not over " + ", ".join(["1.1", *spoken])
    return {
        "103 early hints": ("yes", "over " + ", ".join(hinted)) if hinted else ("no", tried),
        "trailers": ("yes", "over " + ", ".join(trailed)) if trailed else ("no", tried),
    }


PROBES: dict[str, Callable[[Places], Result]] = {
    "0.9": http1.ask_http09,
    "1.0": http1.ask_http10,
    "1.1 keep-alive": http1.ask_keep_alive,
    "1.1 chunked request": http1.ask_chunked_request,
    "1.1 chunked reply": http1.ask_chunked_reply,
    "1.1 pipelining": http1.ask_pipelining,
    "100-continue": http1.ask_continue,
    "h2 by ALPN": http2.ask_alpn,
    "h2c by prior knowledge": http2.ask_prior_knowledge,
    "h2c by Upgrade": http2.ask_upgrade,
    "HTTP/3": http3.ask_http3,
    "WebSocket over h1": http1.ask_websocket,
    "WebSocket over h2": http2.ask_websocket,
    "server-sent events": http1.ask_events,
}


def ask_promises(places: Places, control: bool) -> dict[str, Any]:
    """What HTTP/2 promises, where it is spoken over TLS; with `control`, multiplexing over HTTP/1.1 too."""
    answers: dict[str, Any] = {
        "multiplexed": http2.ask_multiplexing(places),
        "header bytes": http2.ask_header_compression(places),
        "h2load": http2.run_h2load(places),
    }
    return answers | ({"control": http1.ask_multiplexing(places)} if control else {})


def probe(places: Places, promises: bool, control: bool) -> dict[str, Any]:
    """Asks every feature of one place; with `promises`, what HTTP/2 promises, and with `control`, its control."""
    features: dict[str, Any] = {}
    for name, ask in PROBES.items():
        try:
            features[name] = ask(places)
        except OSError as error:
            features[name] = ("no", describe_error(error))
    spoken = [number for number, name in (("2", "h2 by ALPN"), ("3", "HTTP/3")) if features[name][0] == "yes"]
    features |= ask_hints_and_trailers(places, spoken)
    return {"features": features, "h2": ask_promises(places, control) if promises and "2" in spoken else {}}


def parse_address(value: list[Any] | None) -> Address | None:
    """An address as JSON has it."""
    return (value[0], value[1]) if value else None


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    request_places = Places(
        parse_address(request.get("clear")), parse_address(request.get("tls")), request.get("prefer clear", True)
    )
    print(json.dumps(probe(request_places, request["promises"], request["promises"])))
