"""C17: does asgiref bring a server, and does Uvicorn run the talk's example?"""

import json
import re
import tomllib

import pytest

from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.claims.support.server_scripts import find_servers
from tests.claims.support.server_starter import EXAMPLES, SingleServers
from tests.support.engine import run_once
from tests.support.stack import IMAGES

CLAIM = Claim("C17", "`asgiref` has no server, so Uvicorn runs the example")
# Runs in the app's image, which has asgiref and Uvicorn.
INSPECT = """
import asyncio, importlib, importlib.metadata, json, pkgutil, re
import asgiref
files = {m.name: pkgutil.get_data("asgiref", m.name + ".py").decode() for m in pkgutil.iter_modules(asgiref.__path__)}
listens = re.compile(r"create_(unix_)?server|start_server|\\.listen\\(|socketserver|http\\.server|import socket")
from asgiref.server import StatelessServer
try:
    StatelessServer(None).run()
except BaseException as error:
    run = repr(error)
else:
    run = "ended"
print(json.dumps({
    "version": importlib.metadata.version("asgiref"),
    "entry points": [e.name for e in importlib.metadata.distribution("asgiref").entry_points],
    "modules": sorted(files),
    "listening": sorted(name for name, text in files.items() if listens.search(text)),
    "servers": sorted(re.findall(r"^class (\\w*Server)\\b", "\\n".join(files.values()), re.M)),
    "run": run,
    "control": bool(listens.search(pkgutil.get_data("uvicorn", "server.py").decode())),
}))
"""


def test_asgiref_has_nothing_that_listens(servers: SingleServers, finding: Finding) -> None:
    """Searches the files of asgiref for code that listens, and runs its class that is called a server."""
    output = run_once(f"{IMAGES}-app", "-c", INSPECT, entrypoint="python3", network_mode="none")
    inspected = json.loads(output.splitlines()[-1])
    assert inspected.pop("control"), "the control: the same search finds the code of Uvicorn that listens"
    finding["asgiref"] = inspected


def test_the_example_names_what_it_needs() -> None:
    """The example has inline metadata (PEP 723). A tool that reads it, such as uv, installs Uvicorn."""
    for name, needs in (("aref", ["uvicorn"]), ("aref_mid", ["uvicorn", "timing-asgi"])):
        text = (EXAMPLES / f"{name}.py").read_text()
        block = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
        assert block
        assert tomllib.loads(re.sub(r"^# ?", "", block[1], flags=re.MULTILINE))["dependencies"] == needs


def test_uvicorn_runs_the_example_and_prints_the_scope(servers: SingleServers, finding: Finding) -> None:
    with servers.script("python3", "apps/examples/aref.py") as single:
        answer = single.get_inside("/some?a=1")
        assert wait_until(lambda: "'path': '/some'" in single.logs())
        log = single.logs()
    assert answer == (200, "text/plain", "Ola mundo :)")
    assert "'query_string': b'a=1'" in log and "Uvicorn running on" in log
    finding["example"] = list(answer)


@pytest.mark.long
def test_every_asgi_server_runs_the_talks_example(servers: SingleServers, finding: Finding) -> None:
    for server in find_servers("asgi"):
        with servers.serving(server, "asgi", EXAMPLES / "aref.py") as single:
            answer = single.get("/any/path")
            good = (answer.status, answer.headers.get("content-type"), answer.body)
        finding.setdefault("others", {})[server] = good == (200, "text/plain", b"Ola mundo :)")


def conclude(finding: Finding) -> Conclusion:
    """Holds if asgiref has no program and nothing that listens, and Uvicorn runs the example."""
    asgiref = finding["asgiref"]
    has_no_server = not asgiref["entry points"] and not asgiref["listening"]
    runs = finding["example"][:2] == [200, "text/plain"]
    names = [server for server, good in finding["others"].items() if good]
    programs, listening, modules = (len(asgiref[key]) for key in ("entry points", "listening", "modules"))
    evidence = (
        f"asgiref {asgiref['version']}: {programs} programs, and {listening} of its {modules} modules open a port. It "
        f"has a base class for servers ({', '.join(asgiref['servers'])}), "
        f"abstract: run, it says {asgiref['run']}. Uvicorn runs the example, and so do {len(names)} of "
        f"{len(finding['others'])} ASGI servers here."
    )
    return Conclusion("holds" if has_no_server and runs else "no longer true", evidence)
