"""C25: can an application be tested without a server, and what does such a test not see?"""

import asyncio
import http.client
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from apps.examples import aref, ref
from stack import ROOT
from tests.claims import Claim, Conclusion, Finding, Table, single_server
from tests.claims.single_server import SingleServer, SingleServers

CLAIM = Claim(
    "C25",
    "A WSGI or ASGI application can be tested without a server: `httpx.ASGITransport`, `httpx.WSGITransport`",
    also=("test_a_wsgi_application_keeps_the_contract", "test_an_asgi_application_keeps_the_contract"),
)
URL = "http://app/short"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output of pytest on an example, as a reader of the documents runs it."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["aref_test", "ref_test"])
def test_the_documents_test_runs(name: str, finding: Finding) -> None:
    code, said = run(f"apps/examples/{name}.py")
    finding.setdefault("examples", {})[name] = [code, said.splitlines()[-1].partition(" in ")[0]]


def test_as_written_the_documents_test_fails(finding: Finding) -> None:
    """It looks for "ola", and the body says "Ola"."""
    code, said = run("--runxfail", "apps/examples/aref_test.py", "-k", "as_the_documents_write_it")
    assert code == 1 and "assert 'ola' in 'Ola mundo :)'" in said, said
    finding["as written"] = "fails"


def cut_short(one: SingleServer) -> str:
    """How a client of a server fares with a body that is shorter than announced."""
    connection = one.connection(timeout=3)
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


async def asynchronous(transport: Any) -> int:
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(URL)).status_code


def synchronous(transport: Any) -> int:
    with httpx.Client(transport=transport) as client:
        return client.get(URL).status_code


def outcome(ask: Any) -> str:
    """The status, or the name of what was raised."""
    try:
        return str(ask())
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        return type(error).__name__


def test_each_transport_belongs_to_one_client(finding: Finding) -> None:
    finding["clients"] = {
        "ASGITransport in AsyncClient": outcome(lambda: asyncio.run(asynchronous(httpx.ASGITransport(aref.app)))),
        "ASGITransport in Client": outcome(lambda: synchronous(httpx.ASGITransport(aref.app))),
        "WSGITransport in Client": outcome(lambda: synchronous(httpx.WSGITransport(ref.app))),
        "WSGITransport in AsyncClient": outcome(lambda: asyncio.run(asynchronous(httpx.WSGITransport(ref.app)))),
    }


def test_lifespan_is_not_run(servers: SingleServers, finding: Finding) -> None:
    """In process the application never hears of a start; on a server it does, before the first request."""
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append(scope["type"])
        await aref.app(scope, receive, send)

    assert asyncio.run(asynchronous(httpx.ASGITransport(app))) == 200
    finding["in process"] = kinds
    with servers.serving("uvicorn", "asgi", single_server.EXAMPLES / "aref.py") as one:
        one.get("/")
        finding["on a server"] = [kind for kind in ("lifespan", "http") if f"'type': '{kind}'" in one.logs()]


def test_a_streamed_reply_is_whole_on_asgi_and_in_pieces_on_wsgi(finding: Finding) -> None:
    """Whether the first piece reaches the test before the last is made."""
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
    """A body that is shorter than announced: a test in process is content, and the client of a server is not."""
    probes = {
        "asgi": ("uvicorn", single_server.PROBES / "short_asgi.py"),
        "wsgi": ("gunicorn", single_server.PROBES / "short_wsgi.py"),
    }
    for interface, (server, probe) in probes.items():
        app = __import__(f"tests.claims.probes.{probe.stem}", fromlist=["app"]).app
        inside = (
            asyncio.run(asynchronous(httpx.ASGITransport(app)))
            if interface == "asgi"
            else synchronous(httpx.WSGITransport(app))
        )
        assert inside == 200
        with servers.serving(server, interface, probe) as one:
            outside = cut_short(one)
        finding.setdefault("short", {})[interface] = [inside, server, outside]


def conclude(found: Finding) -> Conclusion:
    """Holds if both transports carry the examples; with a limit where a test in process differs from a server."""
    clients, pieces = found["clients"], found["made at the first piece"]
    works = {name: status for name, status in clients.items() if status == "200"}
    unseen = []
    if found["in process"] == ["http"] and "lifespan" in found["on a server"]:
        unseen.append(["lifespan", "never run (ASGI)", "run by Uvicorn before the first request"])
    unseen += [
        [f"streaming ({interface.upper()})", f"{number} of 3 pieces made when the first is seen", "1 of 3"]
        for interface, number in pieces.items()
        if number > 1
    ]
    unseen += [
        [f"a body shorter than its length ({interface.upper()})", str(inside), f"{server}: {outside}"]
        for interface, (inside, server, outside) in found["short"].items()
        if str(inside) != outside
    ]
    evidence = (
        f"The documents' tests run ({'; '.join(f'{name}: {end}' for name, (_, end) in found['examples'].items())}; "
        f"as written, “ola”, one {found['as written']}). ASGITransport is for AsyncClient, WSGITransport for Client: "
        f"{len(works)} of {len(clients)} pairs answer. {len(unseen)} things were found that such a test does not see."
    )
    runs = all(code == 0 for code, _ in found["examples"].values()) and len(works) >= 2
    table = Table("What a test in process does not see", ["what", "in process", "on a server"], unseen)
    verdict = "never was" if not runs else "holds with a limit" if unseen else "holds"
    return Conclusion(verdict, evidence, (table,) if unseen else ())  # type: ignore[arg-type]
