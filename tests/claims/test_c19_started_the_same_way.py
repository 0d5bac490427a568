"""C19: are all servers started the same way, `server module:app`? Each is."""

import shlex

import pytest

from apps import serve
from tests.claims import Claim, Conclusion, Finding, Table, Verdict
from tests.claims.protocols import Protocols

CLAIM = Claim("C19", "All servers are started the same way: `server module:app`")
SERVERS = ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
INTERFACES = ("wsgi", "asgi")


def command_of(server: str, interface: str) -> list[str]:
    """The words of the line with which a server's script ends."""
    text = (serve.HERE / "servers" / interface / f"{server}.sh").read_text()
    return shlex.split(text[text.index("\nexec ") :].replace("\\\n", " "))[1:]


def test_every_script_ends_in_one_command_and_names_the_application_last_if_it_takes_one(finding: Finding) -> None:
    for server, interfaces in serve.servers().items():
        for interface in interfaces:
            words = command_of(server, interface)
            finding.setdefault("scripts", {})[f"{server} {interface}"] = words
            # A program of our own, and a web server with a configuration, take no application on their command line.
            assert words[0] in ("python3", "apache2") or words[-1].endswith(":app"), words


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_started_by_its_name_and_the_application_alone(
    protocols: Protocols, server: str, interface: str, finding: Finding
) -> None:
    native, bare = protocols.native(server, interface), protocols.bare(server, interface)
    assert native["serves"] or not bare["serves"], "what serves without a flag serves with the right one"
    finding.setdefault("servers", {}).setdefault(server, {})[interface] = {"bare": bare, "native": native}


def conclude(found: Finding) -> Conclusion:
    """Holds if every server so started serves every interface that it has; with a limit, if some do."""
    rows: list[list[str]] = []
    good: list[str] = []
    needs: list[str] = []
    for server, interfaces in found["servers"].items():
        for interface, one in interfaces.items():
            native, bare = one["native"], one["bare"]
            if not native["serves"] or native["deprecated"]:
                continue
            name = f"{server} ({interface.upper()})"
            flags = [word for word in native["command"].split() if word not in bare["command"].split()]
            (good if bare["serves"] else needs).append(name if bare["serves"] else f"{name} needs `{' '.join(flags)}`")
            rows.append(
                [name, f"`{bare['command']}`", str(bare["seen"]), "" if bare["serves"] else f"`{' '.join(flags)}`"]
            )
    without = sorted({one.split()[0] for one, words in found["scripts"].items() if not words[-1].endswith(":app")})
    total = len(good) + len(needs)
    verdict: Verdict = "never was" if not good else "holds" if not needs and not without else "holds with a limit"
    evidence = f"{len(good)} of {total} pairs of server and interface answer 200 when started so"
    evidence += f"; {', '.join(needs)}." if needs else "."
    evidence += f" Started by a program or a configuration: {', '.join(without)}." if without else ""
    scripts = [
        [f"`{one}`", f"`{words[0]}`", f"`{words[-1]}`", str(len(words) - 2)] for one, words in found["scripts"].items()
    ]
    return Conclusion(
        verdict,
        evidence,
        (
            Table("Started by name and application", ["server", "command", "answers", "needs"], rows),
            Table(
                "In production",
                ["script", "command", "last word", "words between"],
                scripts,
                "The lines that apps/servers ends in: the documents' form; the flags between are each server's own.",
            ),
        ),
    )
