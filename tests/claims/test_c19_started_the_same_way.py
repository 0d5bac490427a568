"""C19: are all servers started the same way, `server module:app`? Each server is started so."""

import shlex
from typing import Any

import pytest

from apps.runtime import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.support.protocols import Protocols

CLAIM = Claim("C19", "All servers are started the same way: `server module:app`")
SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
INTERFACES = ("wsgi", "asgi")


def read_command(server: str, interface: str) -> list[str]:
    """The words of the command with which a server's script ends."""
    text = (serve.SERVERS / interface / f"{server}.sh").read_text()
    return shlex.split(text[text.index("\nexec ") :].replace("\\\n", " "))[1:]


def test_every_script_ends_in_one_command_and_names_the_application_last_if_it_takes_one(finding: Finding) -> None:
    for server, interfaces in serve.servers().items():
        for interface in interfaces:
            words = read_command(server, interface)
            finding.setdefault("scripts", {})[f"{server} {interface}"] = words
            # This project's own program, and Apache with its configuration, take no application on their command line.
            assert words[0] in ("python3", "apache2") or words[-1].endswith(":app"), words


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_started_by_its_name_and_the_application_alone(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    native, bare = protocols.probe_native(server, interface), protocols.probe_bare(server, interface)
    assert native["serves"] or not bare["serves"], "a server that serves without a flag also serves with the right flag"
    finding.setdefault("servers", {}).setdefault(server, {})[interface] = {"bare": bare, "native": native}


def conclude(finding: Finding) -> Conclusion:
    """Holds if every server so started serves every interface that it has; with a limit if some do."""
    pairs = find_native_pairs(finding)
    good = [name for name, (_, bare) in pairs.items() if bare["serves"]]
    needing = [f"{name} needs {list_flags(*pair)}" for name, pair in pairs.items() if not pair[1]["serves"]]
    without = sorted({pair.split()[0] for pair, words in finding["scripts"].items() if not words[-1].endswith(":app")})
    complete = not needing and not without
    verdict: Verdict = "never was" if not good else "holds" if complete else "holds with a limit"
    evidence = f"{len(good)} of {len(pairs)} pairs of server and interface answer 200 when started so"
    evidence += f"; {', '.join(needing)}." if needing else "."
    evidence += f" Started by a program or a configuration: {', '.join(without)}." if without else ""
    return Conclusion(verdict, evidence, (make_bare_table(pairs), make_scripts_table(finding)))


Pair = tuple[dict[str, Any], dict[str, Any]]  # what the server's own command did, and what `server module:app` did


def find_native_pairs(finding: Finding) -> dict[str, Pair]:
    """The servers by interface that they serve natively, without those that they call deprecated."""
    return {
        f"{server} ({interface.upper()})": (row["native"], row["bare"])
        for server, interfaces in finding["servers"].items()
        for interface, row in interfaces.items()
        if row["native"]["serves"] and not row["native"]["deprecated"]
    }


def list_flags(native: dict[str, Any], bare: dict[str, Any]) -> str:
    """The words that the bare command lacks."""
    return f"`{' '.join(word for word in native['command'].split() if word not in bare['command'].split())}`"


def make_bare_table(pairs: dict[str, Pair]) -> Table:
    """What each server does when it is started by its name and the application."""
    rows = [
        [name, f"`{bare['command']}`", str(bare["seen"]), "" if bare["serves"] else list_flags(native, bare)]
        for name, (native, bare) in pairs.items()
    ]
    return Table("Started by name and application", ["server", "command", "answers", "needs"], rows)


def make_scripts_table(finding: Finding) -> Table:
    """The commands of apps/servers."""
    rows = [
        [f"`{pair}`", f"`{words[0]}`", f"`{words[-1]}`", str(len(words) - 2)]
        for pair, words in finding["scripts"].items()
    ]
    return Table(
        "In production",
        ["script", "command", "last word", "words between"],
        rows,
        "The lines that apps/servers ends in: the talk's form; the flags between are each server's own.",
    )
