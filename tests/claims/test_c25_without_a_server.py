"""C25: can an application be tested without a server, and which faults does such a test miss?"""

import asyncio
import http.client
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import httpx
import pytest

from apps.examples import aref, ref
from stack import ROOT
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.server_starter import APPS, EXAMPLES, SingleServers
from tests.claims.support.single_server import SingleServer

CLAIM = Claim(
    "C25",
    "A WSGI or ASGI application can be tested without a server: `httpx.ASGITransport`, `httpx.WSGITransport`",
    also=("test_a_wsgi_application_keeps_the_contract", "test_an_asgi_application_keeps_the_contract"),
)
URL = "http://app/short"


def run_pytest(*arguments: str) -> tuple[int, str]:
    """Exit code and output of pytest on an example, without this project's options (`addopts`)."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["aref_test", "ref_test"])
def test_the_talks_test_runs(name: str, finding: Finding) -> None:
    code, output = run_pytest(f"apps/examples/{name}.py")
    finding.setdefault("examples", {})[name] = [code, output.splitlines()[-1].partition(" in ")[0]]


def test_as_written_the_talks_test_fails(finding: Finding) -> None:
    """The talk's test looks for "ola", and the body has "Ola"."""
    code, output = run_pytest("--runxfail", "apps/examples/aref_test.py", "-k", "as_the_talk_writes_it")
    assert code == 1 and "assert 'ola' in 'Ola mundo :)'" in output, output
    finding["as written"] = "fails"


def read_short_body(server: SingleServer) -> str:
    """What a client gets from a server whose application sends a shorter body than announced."""
    connection = server.connection(timeout=3)
    try:
        connection.request("GET", "/short")
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)
    except TimeoutError:
        return "the client waits for the rest"
    except http.client.IncompleteRead:
        return "the connection is closed"
    finally:
        connection.close()


async def get_asynchronously(transport: Any) -> int:
    """The status of a GET by httpx's asynchronous client."""
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(URL)).status_code


def get_synchronously(transport: Any) -> int:
    """The status of a GET by httpx's synchronous client."""
    with httpx.Client(transport=transport) as client:
        return client.get(URL).status_code


def describe_outcome(ask: Any) -> str:
    """The status, or the name of the exception."""
    try:
        return str(ask())
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        return type(error).__name__


def test_each_transport_belongs_to_one_client(finding: Finding) -> None:
    finding["clients"] = {
        "ASGITransport in AsyncClient": describe_outcome(
            lambda: asyncio.run(get_asynchronously(httpx.ASGITransport(aref.app)))
        ),
        "ASGITransport in Client": describe_outcome(lambda: get_synchronously(httpx.ASGITransport(aref.app))),
        "WSGITransport in Client": describe_outcome(lambda: get_synchronously(httpx.WSGITransport(ref.app))),
        "WSGITransport in AsyncClient": describe_outcome(
            lambda: asyncio.run(get_asynchronously(httpx.WSGITransport(ref.app)))
        ),
    }


def test_lifespan_is_not_run(servers: SingleServers, finding: Finding) -> None:
    """In process no lifespan reaches the application. On a server it does, before the first request."""
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append(scope["type"])
        await aref.app(scope, receive, send)

    assert asyncio.run(get_asynchronously(httpx.ASGITransport(app))) == 200
    finding["in process"] = kinds
    with servers.serving("uvicorn", "asgi", EXAMPLES / "aref.py") as single:
        single.get("/")
        finding["on a server"] = [kind for kind in ("lifespan", "http") if f"'type': '{kind}'" in single.logs()]


def test_a_streamed_reply_is_whole_on_asgi_and_in_pieces_on_wsgi(finding: Finding) -> None:
    """How many pieces are made when the first piece reaches the test."""
    made: list[bytes] = []

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b", b"c"):
            made.append(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        for piece in (b"a", b"b", b"c"):
            made.append(piece)
            yield piece

    async def first() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi)) as client:
            async with client.stream("GET", URL) as answer:
                await anext(answer.aiter_raw())
                return len(made)

    finding["made at the first piece"] = {"asgi": asyncio.run(first())}
    made.clear()
    with httpx.Client(transport=httpx.WSGITransport(wsgi)) as client, client.stream("GET", URL) as answer:
        next(answer.iter_raw())
        finding["made at the first piece"]["wsgi"] = len(made)


def test_what_a_server_would_refuse_passes(servers: SingleServers, finding: Finding) -> None:
    """A body is shorter than announced. A test in process passes, and the client of a server gets an error."""
    pairs = {"asgi": "uvicorn", "wsgi": "gunicorn"}

    def measure_outside(interface: str) -> str:
        with servers.serving(pairs[interface], interface, APPS / interface / "short_body.py") as single:
            return read_short_body(single)

    with ThreadPoolExecutor() as pool:  # a client may wait for the rest of a body until its time is up
        outside = dict(zip(pairs, pool.map(measure_outside, pairs), strict=True))
    apps = {interface: import_module(f"tests.claims.apps.{interface}.short_body").app for interface in pairs}
    inside = {
        "asgi": asyncio.run(get_asynchronously(httpx.ASGITransport(apps["asgi"]))),
        "wsgi": get_synchronously(httpx.WSGITransport(apps["wsgi"])),
    }
    assert set(inside.values()) == {200}
    finding["short"] = {
        interface: [inside[interface], server, outside[interface]] for interface, server in pairs.items()
    }


def conclude(finding: Finding) -> Conclusion:
    """Holds if both transports carry the examples; with a limit where a test in process differs from a server."""
    statuses = finding["clients"].values()
    answering = [status for status in statuses if status == "200"]
    unseen = list_unseen(finding)
    runs = all(code == 0 for code, _ in finding["examples"].values()) and len(answering) >= 2
    verdict: Verdict = "never was" if not runs else "holds with a limit" if unseen else "holds"
    endings = "; ".join(f"{name}: {ending}" for name, (_, ending) in finding["examples"].items())
    evidence = (
        f"The talk's tests run ({endings}; "
        f"as written, “ola”, one {finding['as written']}). ASGITransport is for AsyncClient, WSGITransport for Client: "
        f"{len(answering)} of {len(statuses)} pairs answer. {len(unseen)} things were found that such a test does not "
        "see."
    )
    table = Table("What a test in process does not see", ["what", "in process", "on a server"], unseen)
    return Conclusion(verdict, evidence, (table,) if unseen else ())


def list_unseen(finding: Finding) -> list[list[str]]:
    """What a test in process does not see: what, in process, on a server."""
    rows = []
    if finding["in process"] == ["http"] and "lifespan" in finding["on a server"]:
        rows.append(["lifespan", "never run (ASGI)", "run by Uvicorn before the first request"])
    rows += [
        [f"streaming ({interface.upper()})", f"{number} of 3 pieces made when the first is seen", "1 of 3"]
        for interface, number in finding["made at the first piece"].items()
        if number > 1
    ]
    rows += [
        [f"a body shorter than its length ({interface.upper()})", str(inside), f"{server}: {outside}"]
        for interface, (inside, server, outside) in finding["short"].items()
        if str(inside) != outside
    ]
    return rows
