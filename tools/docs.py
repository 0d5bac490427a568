"""The generated parts of the documentation: tables made from scripts, locks, records and the contract.

`make docs` writes each part between `<!-- name -->` and `<!-- /name -->`. A test fails while a part is out of date.
"""

import json
import re
import shutil
from typing import Any

from apps import contract, named_differences
from apps.runtime import serve
from stack import ROOT, Problem, proxies
from tools import sizes, streams
from tools.claims import page
from tools.markdown import table

TESTS_NOTE = ROOT / ".cache/tests.json"  # a whole run of the tests that passes writes this file
TESTS_RECORD = ROOT / "docs/tests.json"
BENCH = ROOT / "docs/bench"  # the reference run: `make reference` writes it


def releases() -> dict[str, str]:
    """The pinned release of every distribution in the application's images."""
    locks = ((ROOT / f"requirements/{name}.txt").read_text() for name in ("app", "mod_wsgi"))
    lines = "".join(locks).splitlines()
    return dict(line.split()[0].split("==") for line in lines if re.match(r"[a-z]", line) and "==" in line)


def pinned(server: str) -> str:
    """The pinned release of a server's distribution: `gunicorn-sync` runs gunicorn."""
    distribution = server.split("-")[0].replace("_", "-")
    return releases().get(distribution, "of Python 3.14")


def servers() -> str:
    """A row for each server and interface: release, worker model, number of named differences, cost."""
    rows, measured = [], reference()
    for server, interfaces in serve.servers().items():
        for interface in interfaces:
            facts = serve.facts(serve.SERVERS / interface / f"{server}.sh")
            differences = sum(
                (item.server, item.interface) == (server, interface) for item in named_differences.DIFFERENCES
            )
            script = f"[`{server}`](apps/servers/{interface}/{server}.sh)"
            costs = measured.get("costs", {}).get(f"{server} {interface}", ["–"])
            more = [" · ".join(costs)] if measured else []
            rows.append([script, pinned(server), interface, facts["workers"], str(differences or "–"), *more])
    more = [f"µs a request: {', '.join(measured['routes'])}"] if measured else []
    return table(["`SERVER=`", "release", "`INTERFACE=`", "workers", "named differences", *more], rows)


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
    """A row for each named difference."""
    rows = []
    for item in named_differences.DIFFERENCES:
        limits = (", ".join(item.apps), item.proxy, item.http and f"HTTP/{item.http}")
        where = " ".join(filter(None, limits)) or "everywhere"
        rows.append([item.server, item.interface, item.what, where, item.reason, item.source])
    return table(["server", "interface", "what differs", "where", "why", "upstream"], rows)


def duties() -> str:
    """A row for each duty that some proxy lacks."""
    names = proxies.names()
    rows = []
    for duty, test in proxies.DUTIES.items():
        cells = [f"no: {proxies.lack(name, duty)}" if (name, duty) in proxies.LACKS else "yes" for name in names]
        rows.append([duty, *cells, f"`{test}`"])
    return table(["", *names, "shown by"], rows)


def limits() -> str:
    """A row for each limit of a request's and a reply's size: what passes, and what each proxy answers to more."""
    names = proxies.names()
    rows = []
    for limit, taken in (
        (sizes.LINE, contract.LINE),
        (sizes.HEADER, contract.HEADER),
        (sizes.ALL_HEADERS, contract.ALL_HEADERS),
        (sizes.HEADERS, contract.HEADERS),
        (sizes.REPLY_HEAD, contract.REPLY_HEAD),
        (sizes.BODY, contract.BODY),
    ):
        more = [sizes.OVER_LIMITS[name].get(limit) for name in names]
        cells = [f"{excess.status} to {excess.amount:,}" if excess else "–" for excess in more]
        rows.append([limit if limit == sizes.HEADERS else f"{limit}, bytes", f"{taken:,}", *cells])
    return table(["", "passes", *names], rows)


def tests() -> str:
    """The last recorded whole run of the tests, in a sentence."""
    note = json.loads(TESTS_RECORD.read_text())
    return (
        f"{note['passed']} tests passed in {note['minutes']} minutes on {note['cores']} cores "
        f"({note['conditions']}; {note['date']})."
    )


PARTS = {
    "README.md": {"servers": servers, "bench": bench, "claims": page.summary, "tests": tests},
    "docs/servers.md": {"differences": differences},
    "docs/proxies.md": {"duties": duties, "limits": limits},
    "docs/streams.md": {"streams": streams.table_of_pairings, "conditions": streams.conditions},
}


def render(name: str) -> str:
    """The text of a document, with its generated parts up to date."""
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
    """`make docs`: writes every generated part. Records the last whole run of the tests, if this checkout had one."""
    if TESTS_NOTE.is_file():
        shutil.copy2(TESTS_NOTE, TESTS_RECORD)
    for name in PARTS:
        (ROOT / name).write_text(render(name))
        print(f"docs: {name}")
    page.write()
    print(f"docs: {page.FILE.relative_to(ROOT)}")
