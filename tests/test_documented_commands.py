"""Every command that README and docs/ name exists, takes the settings that it is given, and is run by a test."""

import re
import shlex
from pathlib import Path

import pytest

from stack import ROOT, dotenv, settings

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("*/README.md")]
COMMAND = re.compile(r"`((?:make|\./\w+)(?: [^`]*)?)`|^((?:make|\./\w+)(?: .*)?)$", re.MULTILINE)
# Targets that the tests do not run as a whole, and why.
NOT_RUN = {
    "test": "the tests themselves",
    "lint": "the CI runs it before the tests",
    "format": "changes files; `make lint` runs the same tool",
    "docs": "test_the_generated_parts_of_the_docs_are_up_to_date calls what it calls",
    "claims": "an hour; its verdicts and records are tested one by one",
    "streams": "six minutes; test_streams measures its parts",
    "bench": "test_bench_runs calls what it calls, with a plan of seconds",
    "report": "test_bench_runs calls what it calls",
    "reference": "test_bench_compare and test_bench_report call what it calls",
    "compare": "test_bench_compare calls what it calls",
    "lock": "asks the package index for everything; test_commands_lock runs its parts",
    "images": "test_commands_build calls what it calls",
    "test-deployments": "the tests of exported folders, beside those that `make test` runs",
    "test-guests": "the tests of other people's applications",
    "outdated": "asks the package index for everything; test_outdated runs its parts",
}


def read_commands() -> list[tuple[Path, str]]:
    """The commands, with their pages."""
    commands = []
    for page in PAGES:
        for quoted, line in COMMAND.findall(page.read_text()):
            commands.append((page, (quoted or line).split("  #")[0].strip()))
    return commands


COMMANDS = read_commands()
TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != Path(__file__).name]
SOURCES = "\n".join(path.read_text() for path in TESTS)
# A test that names a page runs the page's blocks.
SCRIPTS = SOURCES + "\n".join(path.read_text() for path in PAGES if f'"{path.stem}' in SOURCES or path.name in SOURCES)
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
IDS = [f"{page.relative_to(ROOT)}: {command}" for page, command in COMMANDS]


def list_targets(command: str) -> list[str]:
    """The targets of a make command."""
    return [word for word in shlex.split(re.sub("<[^>]*>", "x", command))[1:] if "=" not in word]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=IDS)
def test_a_command_of_the_docs_exists(page: Path, command: str) -> None:
    if not command.startswith("make"):
        script = ROOT / "deploy" / command.split()[0].removeprefix("./")
        assert script.is_file() or (page.parent / script.name).is_file(), f"there is no {script.name}"
        return
    assert set(list_targets(command)) <= TARGETS, "no such target"
    names = set(re.findall(r"(?:^|\s)\"?([A-Z][A-Z_]+)=", command))
    assert names <= dotenv.list_settings() | settings.FOR_MAKE, "no such setting"


def test_the_docs_have_commands() -> None:
    assert len(COMMANDS) > 60 and len(TARGETS) > 20


DOCUMENTED = {target for _, command in COMMANDS if command.startswith("make") for target in list_targets(command)}


@pytest.mark.parametrize("target", sorted(DOCUMENTED))
def test_a_target_of_the_docs_is_run_by_a_test(target: str) -> None:
    is_run = re.search(rf'(?:make|start_make)\((?:\*?\[?)"{target}"', SOURCES)
    assert is_run or target in NOT_RUN, "no test runs it"
    assert not (is_run and target in NOT_RUN), "a test runs it now: take it out of NOT_RUN"


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "deploy").iterdir() if not path.suffix))
def test_a_script_of_a_deployment_is_run_by_a_test(script: str) -> None:
    assert re.search(rf'"(?:\./)?{script}"|\./{script}\b', SCRIPTS)
