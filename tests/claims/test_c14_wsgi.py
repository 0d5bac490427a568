"""C14: WSGI is `app(environ, start_response)`. The validator of its reference, `wsgiref`, judges both sides."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
from typing import Any
from wsgiref.validate import validator

import httpx
import pytest

from apps.examples import ref
from apps.runtime import serve
from stack import ROOT
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table
from tests.claims.support.server_scripts import find_servers
from tests.claims.support.server_starter import APPS, EXAMPLES, SingleServers
from tests.claims.support.single_server import SingleServer
from tests.support.stack import free_port
from tests.test_apps import application

CLAIM = Claim(
    "C14",
    "WSGI (PEP 333, 2003; PEP 3333, 2010): `app(environ, start_response)` returns an iterable of bytes; `wsgiref` is "
    "the reference implementation",
    also=("test_the_reference_validator_accepts_a_wsgi_application",),
)
WRONG: dict[str, Any] = {
    "text in place of bytes": lambda environ, start: (start("200 OK", [("content-type", "a/b")]), ["text"])[1],
    "a string in place of an iterable": lambda environ, start: (start("200 OK", [("content-type", "a/b")]), "text")[1],
    "a reply that was not started": lambda environ, start: [b"text"],
    "headers that are no list": lambda environ, start: (start("200 OK", (("content-type", "a/b"),)), [b"x"])[1],
}
REQUESTS: tuple[tuple[str, str, bytes | None], ...] = (
    ("GET", "/", None),
    ("HEAD", "/", None),
    ("POST", "/echo", b"body" * 50_000),
    ("GET", "/stream/3", None),
    ("GET", "/status/204", None),
    ("GET", "/nowhere", None),
)


def get_in_process(app: Any) -> httpx.Response:
    """Sends one GET to an application in this process."""
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://app") as client:
        return client.get("/")


@pytest.mark.parametrize("wrong", WRONG)
def test_the_judge_refuses_what_the_standard_forbids(wrong: str, finding: Finding) -> None:
    with pytest.raises(AssertionError):
        get_in_process(validator(WRONG[wrong]))
    finding.setdefault("refused", []).append(wrong)


@pytest.mark.parametrize("name", [*serve.apps("wsgi"), "ref"])
def test_the_judge_accepts_every_application_here(name: str, finding: Finding) -> None:
    assert get_in_process(validator(ref.app if name == "ref" else application("wsgi", name))).status_code == 200
    finding.setdefault("accepted", []).append(name)


@pytest.mark.parametrize("name", ["ref", "ref_environ"])
def test_the_reference_server_runs_the_talks_example(name: str, finding: Finding) -> None:
    """The example runs in a process of its own. The second version prints the `environ` that it was handed."""
    port = free_port()
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    with subprocess.Popen(
        command, cwd=ROOT, env={"PORT": str(port)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            answer = wait_until(lambda: get_status_and_body(port), 30)
            assert process.poll() is None and answer == (200, "text/plain", b"Hello world!")
        finally:
            process.kill()
        printed = process.stdout.read() if process.stdout else ""
    if name == "ref_environ":
        keys = [line.partition(":")[0] for line in printed.splitlines()]
        assert {"HTTP_HOST", "HTTP_X_PROBE", "wsgi.version", "wsgi.url_scheme", "wsgi.input"} <= set(keys)
        assert all(key.startswith(("HTTP", "wsgi")) for key in keys)
        finding["printed"] = sorted(set(keys))
    finding.setdefault("served", []).append(name)


def get_status_and_body(port: int) -> tuple[int, str | None, bytes] | None:
    """Status, content type and body of a GET; None while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={"X-Probe": "1"})
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


@pytest.mark.long
def test_the_judge_sits_between_every_server_and_an_application(servers: SingleServers, finding: Finding) -> None:
    for server in find_servers("wsgi"):
        with servers.serving(server, "wsgi", APPS / "wsgi" / "validated.py") as single:
            objections: dict[str, list[str]] = {}
            for method, path, body in REQUESTS:
                before = len(read_objections(single))
                with contextlib.suppress(OSError):
                    single.request(method, path, body)
                for objection in read_objections(single)[before:]:
                    objections.setdefault(objection, []).append(f"{method} {path}")
            finding.setdefault("objections", {})[server] = objections


def read_objections(server: SingleServer) -> list[str]:
    """The objections of the validator so far, without the names of objects."""
    objections = [
        json.loads(line.partition("OBJECTION ")[2]) for line in server.logs().splitlines() if "OBJECTION " in line
    ]
    return [re.sub(r"<[^<>]* object at 0x[0-9a-f]+>", "…", objection) for objection in objections]


def conclude(finding: Finding) -> Conclusion:
    """Holds if the validator accepts every application and server; with a limit where it objects to a server."""
    objected = {server: objections for server, objections in finding["objections"].items() if objections}
    rows = [
        [server, f"`{objection}`", ", ".join(dict.fromkeys(requests))]
        for server, objections in objected.items()
        for objection, requests in objections.items()
    ]
    accepted = len(finding["accepted"])
    evidence = (
        f"`wsgiref.validate` accepts {accepted} of {accepted} applications here (control: "
        f"it refuses {len(finding['refused'])} of {len(WRONG)} wrong ones); the reference server runs both examples. "
        f"Between application and server it objects to {len(objected)} of {len(finding['objections'])} servers"
        + (f": {', '.join(objected)}." if objected else ".")
    )
    tables = (Table("What the judge of WSGI says about servers", ["server", "objection", "to"], rows),) if rows else ()
    return Conclusion("holds with a limit" if objected else "holds", evidence, tables)
