"""The generated parts of the documentation: what scripts, locks and the contract say, as tables.

`make docs` writes them between `<!-- name -->` and `<!-- /name -->`; a test fails while they are out of date.
"""

import json
import re
import shutil
from typing import Any

from apps import contract, serve
from stack import ROOT, Problem, proxies
from tools import claims
from tools.markdown import table

TESTS_NOTE = ROOT / ".cache/tests.json"  # left by a whole run that passed
TESTS_RECORD = ROOT / "docs/tests.json"
BENCH = ROOT / "docs/bench"  # the reference run: `make reference` writes it


def releases() -> dict[str, str]:
    """The pinned release of every distribution in the application's images."""
    locks = ((ROOT / f"requirements/{name}.txt").read_text() for name in ("app", "mod_wsgi"))
    lines = "".join(locks).splitlines()
    return dict(line.split()[0].split("==") for line in lines if re.match(r"[a-z]", line) and "==" in line)


def pinned(server: str) -> str:
    """The release that a server's name stands for."""
    first = server.split("-")[0].replace("_", "-")
    return releases().get(first, "of Python 3.14")


def servers() -> str:
    """One row a server and interface: its release, its worker model, how many differences are named, what it costs."""
    rows, measured = [], reference()
    for server, interfaces in serve.servers().items():
        for interface in interfaces:
            facts = serve.facts(serve.HERE / "servers" / interface / f"{server}.sh")
            named = [one for one in contract.DIFFERENCES if (one.server, one.interface) == (server, interface)]
            script = f"[`{server}`](apps/servers/{interface}/{server}.sh)"
            costs = measured.get("costs", {}).get(f"{server} {interface}", ["–"])
            more = [" · ".join(costs)] if measured else []
            rows.append([script, pinned(server), interface, facts["workers"], str(len(named) or "–"), *more])
    more = [f"µs a request: {', '.join(measured['routes'])}"] if measured else []
    return claims.table(["`SERVER=`", "release", "`INTERFACE=`", "workers", "named differences", *more], rows)


def reference() -> dict[str, Any]:
    """What the bench's reference run says; empty while there is none."""
    file = BENCH / "summary.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def bench() -> str:
    """The reference run's picture, its answer, what each proxy adds, and the conditions; "" without such a run."""
    summary = reference()
    if not summary:
        return ""
    folder = BENCH.relative_to(ROOT)
    picture = f"![CPU time per request of every server, directly and behind each proxy]({folder}/cost.svg)"
    added = table(summary["added_columns"], summary["added"])
    conditions = f"Conditions: {summary['conditions']}; [everything]({folder}/report.md)."
    return f"{picture}\n{summary['answer']} {conditions}\n\n{added}"


def differences() -> str:
    """One row a named difference."""
    rows = []
    for one in contract.DIFFERENCES:
        narrowed = (", ".join(one.apps), one.proxy, one.http and f"HTTP/{one.http}")
        where = " ".join(filter(None, narrowed)) or "everywhere"
        rows.append([one.server, one.interface, one.what, where, one.reason, one.source])
    return claims.table(["server", "interface", "what differs", "where", "why", "upstream"], rows)


def duties() -> str:
    """One row a duty that not every proxy has."""
    names = proxies.names()
    rows = []
    for duty, test in proxies.DUTIES.items():
        cells = [f"no: {proxies.lack(name, duty)}" if (name, duty) in proxies.LACKS else "yes" for name in names]
        rows.append([duty, *cells, f"`{test}`"])
    return claims.table(["", *names, "shown by"], rows)


def tests() -> str:
    """What the last recorded whole run of the tests was."""
    note = json.loads(TESTS_RECORD.read_text())
    return (
        f"{note['passed']} tests passed in {note['minutes']} minutes on {note['cores']} cores "
        f"({note['conditions']}; {note['date']})."
    )


PARTS = {
    "README.md": {"servers": servers, "bench": bench, "claims": claims.summary, "tests": tests},
    "docs/servers.md": {"differences": differences},
    "docs/proxies.md": {"duties": duties},
}


def render(name: str) -> str:
    """A document with its generated parts made anew."""
    text = (ROOT / name).read_text()
    for part, make in PARTS[name].items():
        opening, closing = f"<!-- {part} -->\n", f"\n<!-- /{part} -->"
        before, has_opening, rest = text.partition(opening)
        _, has_closing, after = rest.partition(closing)
        if not (has_opening and has_closing):
            raise Problem(f"{name} has no place for {part}: write {opening.strip()} and {closing.strip()}")
        text = before + opening + make() + closing + after
    return text


def write() -> None:
    """Writes every generated part, from the last whole run of the tests if there was one here."""
    if TESTS_NOTE.is_file():
        shutil.copy2(TESTS_NOTE, TESTS_RECORD)
    for name in PARTS:
        (ROOT / name).write_text(render(name))
        print(f"docs: {name}")
    claims.render()
    print(f"docs: {claims.PAGE.relative_to(ROOT)}")
