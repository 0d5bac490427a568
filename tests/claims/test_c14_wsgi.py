"""C14: WSGI is `app(environ, start_response)`, `wsgiref` its reference, and its validator the judge of both sides."""

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

from apps import serve
from apps.examples import ref
from stack import ROOT
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table, single_server
from tests.claims.single_server import SingleServer, SingleServers
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


def ask(app: Any) -> httpx.Response:
    """One GET in process."""
    with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://app") as client:
        return client.get("/")


@pytest.mark.parametrize("wrong", WRONG)
def test_the_judge_refuses_what_the_standard_forbids(wrong: str, finding: Finding) -> None:
    with pytest.raises(AssertionError):
        ask(validator(WRONG[wrong]))
    finding.setdefault("refused", []).append(wrong)


@pytest.mark.parametrize("name", [*serve.apps("wsgi"), "ref"])
def test_the_judge_accepts_every_application_here(name: str, finding: Finding) -> None:
    assert ask(validator(ref.app if name == "ref" else application("wsgi", name))).status_code == 200
    finding.setdefault("accepted", []).append(name)


@pytest.mark.parametrize("name", ["ref", "ref_environ"])
def test_the_reference_server_runs_the_documents_example(name: str, finding: Finding) -> None:
    """A real process of this Python; the second version prints what it was handed."""
    port = free_port()
    command = [sys.executable, str(single_server.EXAMPLES / f"{name}.py")]
    with subprocess.Popen(
        command, cwd=ROOT, env={"PORT": str(port)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            answer = wait_until(lambda: knock(port), 30)
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


def knock(port: int) -> tuple[int, str | None, bytes] | None:
    """Status, content type and body of a GET, once something listens."""
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
    for server in single_server.with_interface("wsgi"):
        with servers.serving(server, "wsgi", single_server.PROBES / "judged.py") as one:
            heard: dict[str, list[str]] = {}
            for method, path, body in REQUESTS:
                before = len(objections(one))
                with contextlib.suppress(OSError):
                    one.request(method, path, body)
                for words in objections(one)[before:]:
                    heard.setdefault(words, []).append(f"{method} {path}")
            finding.setdefault("objections", {})[server] = heard


def objections(one: SingleServer) -> list[str]:
    """What the judge has said so far, without the names of objects."""
    said = [json.loads(line.partition("JUDGED ")[2]) for line in one.logs().splitlines() if "JUDGED " in line]
    return [re.sub(r"<[^<>]* object at 0x[0-9a-f]+>", "…", words) for words in said]


def conclude(found: Finding) -> Conclusion:
    """Holds if the judge accepts every application and every server; with a limit where it objects to a server."""
    guilty = {server: heard for server, heard in found["objections"].items() if heard}
    rows = [
        [server, f"`{words}`", ", ".join(dict.fromkeys(requests))]
        for server, heard in guilty.items()
        for words, requests in heard.items()
    ]
    evidence = (
        f"`wsgiref.validate` accepts {len(found['accepted'])} of {len(found['accepted'])} applications here (control: "
        f"it refuses {len(found['refused'])} of {len(WRONG)} wrong ones); the reference server runs both examples. "
        f"Between application and server it objects to {len(guilty)} of {len(found['objections'])} servers"
        + (f": {', '.join(guilty)}." if guilty else ".")
    )
    tables = (Table("What the judge of WSGI says about servers", ["server", "objection", "to"], rows),) if rows else ()
    return Conclusion("holds with a limit" if guilty else "holds", evidence, tables)
