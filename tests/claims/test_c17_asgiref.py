"""C17: does asgiref bring a server, and does Uvicorn run the documents' example?"""

import json
import re
import tomllib

import pytest

from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, single_server
from tests.claims.single_server import SingleServers
from tests.support.engine import docker
from tests.support.stack import IMAGES

CLAIM = Claim("C17", "`asgiref` has no server, so Uvicorn runs the example")
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
    """Its installed files, and what happens to the one class that is called a server."""
    image = f"{IMAGES}-app"
    said = docker("run", "--rm", "--network", "none", "--entrypoint", "python3", image, "-c", INSPECT)
    seen = json.loads(said.splitlines()[-1])
    assert seen.pop("control"), "the same search does find what listens in Uvicorn"
    finding["asgiref"] = seen


def test_the_example_names_what_it_needs() -> None:
    """Its inline metadata (PEP 723): a tool that reads it, such as uv, installs Uvicorn for it."""
    for name, needs in (("aref", ["uvicorn"]), ("aref_mid", ["uvicorn", "timing-asgi"])):
        text = (single_server.EXAMPLES / f"{name}.py").read_text()
        block = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
        assert block
        assert tomllib.loads(re.sub(r"^# ?", "", block[1], flags=re.MULTILINE))["dependencies"] == needs


def test_uvicorn_runs_the_example_and_prints_the_scope(servers: SingleServers, finding: Finding) -> None:
    with servers.script("python3", "apps/examples/aref.py") as one:
        answer = one.ask_inside("/some?a=1")
        assert wait_until(lambda: "'path': '/some'" in one.logs())
        log = one.logs()
    assert answer == (200, "text/plain", "Ola mundo :)")
    assert "'query_string': b'a=1'" in log and "Uvicorn running on" in log
    finding["example"] = list(answer)


@pytest.mark.long
def test_every_asgi_server_runs_the_documents_example(servers: SingleServers, finding: Finding) -> None:
    for server in single_server.with_interface("asgi"):
        with servers.serving(server, "asgi", single_server.EXAMPLES / "aref.py") as one:
            answer = one.get("/any/path")
            good = (answer.status, answer.headers.get("content-type"), answer.body)
        finding.setdefault("others", {})[server] = good == (200, "text/plain", b"Ola mundo :)")


def conclude(found: Finding) -> Conclusion:
    """Holds if asgiref has no program and nothing that listens, and Uvicorn runs the example."""
    seen = found["asgiref"]
    none = not seen["entry points"] and not seen["listening"]
    runs = found["example"][:2] == [200, "text/plain"]
    names = [server for server, good in found["others"].items() if good]
    evidence = (
        f"asgiref {seen['version']}: {len(seen['entry points'])} programs, and {len(seen['listening'])} of its "
        f"{len(seen['modules'])} modules open a port. It has a base class for servers ({', '.join(seen['servers'])}), "
        f"abstract: run, it says {seen['run']}. Uvicorn runs the example, and so do {len(names)} of "
        f"{len(found['others'])} ASGI servers here."
    )
    return Conclusion("holds" if none and runs else "no longer true", evidence)
