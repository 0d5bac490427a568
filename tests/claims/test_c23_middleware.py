"""C23: does a middleware wrap an application without changing it?"""

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from timing_asgi import TimingMiddleware

from apps import contract
from apps.examples import aref, aref_mid, ref, ref_mid
from apps.runtime import serve
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.server_starter import SingleServers
from tests.test_apps import application, asgi_sender, wsgi_sender

CLAIM = Claim(
    "C23", "A middleware wraps an application without changing it. Example: `timing-asgi` around an ASGI application"
)
MEASURED = re.compile(r"unnamed\.(\S*) (\d+\.\d{6}) \['http_status:(\d+)', 'http_method:(\w+)', 'time:(wall|cpu)'\]")
PAUSE = 0.05


class Notes:
    """A client of the middleware that keeps the measurements."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float, list[str]]] = []

    def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
        """One measurement."""
        self.taken.append((metric_name, timing, tags))


def wrap(interface: str, name: str, notes: Notes) -> contract.Send:
    """A contract client of an application of the stack, with the middleware around the application."""
    app = application(interface, name)
    if interface == "asgi":
        return asgi_sender(TimingMiddleware(app, client=notes))
    return wsgi_sender(ref_mid.TimingMiddleware(app, notes))


@pytest.mark.parametrize(
    ("interface", "name"), [(interface, name) for interface in serve.INTERFACES for name in serve.apps(interface)]
)
def test_an_application_keeps_the_contract_inside_the_middleware(interface: str, name: str, finding: Finding) -> None:
    notes = Notes()
    faults = contract.verify(wrap(interface, name, notes))
    assert len(notes.taken) == 2 * len(contract.CHECKS), "wall and CPU time of every request were measured"
    finding.setdefault("contract", {})[f"{interface} {name}"] = faults


@pytest.mark.parametrize("interface", serve.INTERFACES)
def test_a_streamed_reply_is_timed_to_its_end(interface: str, finding: Finding) -> None:
    """WSGI makes the pieces after the application has returned. The measurement must go on until the last piece."""
    notes = Notes()
    wrap(interface, "bare", notes)(contract.Check("stream", "GET", f"/stream/4?pause={PAUSE * 1000:.0f}"))
    (wall,) = [timing for _, timing, tags in notes.taken if "time:wall" in tags]
    assert wall >= 4 * PAUSE * 0.99
    finding.setdefault("stream", {})[interface] = round(wall, 2)


def test_what_the_middleware_says_of_an_application_that_fails() -> None:
    def fails(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    async def afails(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    for ask, app in ((wsgi_sender, ref_mid.TimingMiddleware), (asgi_sender, TimingMiddleware)):
        notes = Notes()
        with pytest.raises(ZeroDivisionError):
            ask(app(fails if ask is wsgi_sender else afails, notes))(contract.CHECKS[0])
        assert {"http_status:500"} <= set(notes.taken[0][2])


def test_the_wrapped_example_is_the_same_application() -> None:
    assert aref_mid.app.app is aref.app and ref_mid.app.app is ref.app

    async def ask_both() -> list[httpx.Response]:
        answers = []
        for app in (aref.app, aref_mid.app):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
                answers.append(await client.get("/"))
        return answers

    bare, timed = asyncio.run(ask_both())
    assert (bare.status_code, bare.headers, bare.content) == (timed.status_code, timed.headers, timed.content)


@pytest.mark.parametrize("name", ["aref_mid", "ref_mid"])
def test_the_talks_example_prints_metric_timing_and_tags(servers: SingleServers, name: str, finding: Finding) -> None:
    """The example runs on the server that it starts itself, in the application's image."""
    with servers.script("python3", "-m", f"apps.examples.{name}") as single:
        began = time.monotonic()
        status, kind, body = single.get_inside("/a/b")
        took = time.monotonic() - began
        measurements = wait_until(lambda: (lines := MEASURED.findall(single.logs())) and len(lines) == 2 and lines)
    words = "Ola mundo :)" if name == "aref_mid" else "Hello world!"
    assert (status, kind, body) == (200, "text/plain", words)
    assert [(path, code, method, clock) for path, _, code, method, clock in measurements] == [
        ("a.b", "200", "GET", "wall"),
        ("a.b", "200", "GET", "cpu"),
    ]
    assert 0 < float(measurements[0][1]) <= took
    finding.setdefault("printed", {})[name] = f"unnamed.a.b {measurements[0][1]} ['http_status:200', …]"


def conclude(finding: Finding) -> Conclusion:
    """Holds if every application keeps the contract inside the middleware, and both examples print."""
    kept = [name for name, faults in finding["contract"].items() if not faults]
    holds = len(kept) == len(finding["contract"]) and set(finding["printed"]) == {"aref_mid", "ref_mid"}
    evidence = (
        f"With the timing middleware around them {len(kept)} of {len(finding['contract'])} applications keep all "
        f"{len(contract.CHECKS)} checks of the contract: timing-asgi on ASGI, thirty lines of our own on WSGI. The "
        f"example under Uvicorn prints `{finding['printed'].get('aref_mid')}`, and the WSGI example the same. "
        f"A stream of {4 * PAUSE} s is timed to its end on both."
    )
    return Conclusion("holds" if holds else "never was", evidence)
