"""What people expect of a repository: line ends, links that lead somewhere, promises with tests, workflows that run."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from stack import ROOT
from tools import claims

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
LINK = r"(?<!\!)\[[^\]]+\]\((?!https?:|mailto:)([^)\s]+)\)|!\[[^\]]*\]\((?!https?:)([^)\s]+)\)"
TEST = r"`(test_\w+)`"


def run_git(*arguments: str, folder: Path = ROOT) -> str:
    return subprocess.check_output(["git", *arguments], cwd=folder, text=True)


def find_make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def find_scripts(folder: Path) -> list[Path]:
    return [folder / path for path in run_git("ls-files", "*.sh", ".ci/run", folder=folder).split()]


def find_headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


PAGES = [ROOT / path for path in run_git("ls-files", "*.md").split()]


def read_workflow(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only; `on` stays a word


def test_a_checkout_with_autocrlf_has_no_crlf(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    run_git("-c", "core.autocrlf=true", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(checkout))
    line_ends = [line.split()[:3] for line in run_git("ls-files", "--eol", folder=checkout).splitlines()]
    assert len(line_ends) > 300
    assert {working_tree for _, working_tree, _ in line_ends} <= {"w/lf", "w/-text", "w/none"}
    for script in find_scripts(checkout):
        assert b"\r" not in script.read_bytes(), script
        shell = script.read_text().splitlines()[0].rpartition("/")[2].removeprefix("env ")
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


def test_a_checkout_without_our_attributes_would_have_crlf(tmp_path: Path) -> None:
    # The negative control: Git converts line ends on this machine too, if nothing forbids it.
    run_git("init", "--quiet", folder=tmp_path)
    for name, value in (("core.autocrlf", "true"), ("user.name", "test"), ("user.email", "test@localhost")):
        run_git("config", name, value, folder=tmp_path)
    (tmp_path / "start.sh").write_bytes(b"#!/bin/sh\nexec true\n")
    subprocess.run(["git", "add", "start.sh"], cwd=tmp_path, capture_output=True, check=True)
    run_git("commit", "--quiet", "--message", "start", folder=tmp_path)
    (tmp_path / "start.sh").unlink()
    run_git("checkout", "--quiet", "start.sh", folder=tmp_path)
    assert (tmp_path / "start.sh").read_bytes() == b"#!/bin/sh\r\nexec true\r\n"


@pytest.mark.parametrize("script", find_scripts(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_names_its_shell_and_may_be_executed(script: Path) -> None:
    assert re.fullmatch(r"#!(/bin/sh|/bin/bash|/usr/bin/env bash)", script.read_text().splitlines()[0])
    assert os.access(script, os.X_OK), "git update-index --chmod=+x, and chmod +x"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = ["".join(groups) for groups in re.findall(LINK, page.read_text())]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in find_headings(target), link


def test_the_pages_have_links_to_check() -> None:
    links = {page.name: len(re.findall(LINK, page.read_text())) for page in PAGES}
    assert links["README.md"] and links["CONTRIBUTING.md"] > 5 and links["SECURITY.md"] > 1


def test_every_promise_of_the_security_page_has_a_test_that_exists() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows[1:] if not re.fullmatch(r"\| \*\*.+\*\* \| \|", row)]
    assert len(promises) > 20
    defined = claims.names_of_tests()
    for promise in promises:
        tests = re.findall(TEST, promise)
        assert tests, promise
        assert set(tests) <= defined, promise


def test_every_test_and_file_that_the_guide_names_exists() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    files = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", guide))
    assert {"stack/proxies.py", "apps/contract.py", "loadtests/window.py"} <= files
    assert {path for path in files if not (ROOT / path).exists()} == set()


def test_every_target_that_the_guide_names_is_one_of_make() -> None:
    commands = re.findall(r"`(?:sudo )?make ([^`]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    words = {word for command in commands for word in command.partition('="')[0].split()}
    named = {word for word in words if re.fullmatch(r"[a-z-]+", word)}
    assert {"test", "lint", "lock", "claims", "bench"} <= named <= find_make_targets()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_few_permissions_pinned_actions_and_an_end(path: Path) -> None:
    workflow = read_workflow(path)
    assert {"name", "on", "permissions", "jobs"} <= workflow.keys()
    assert workflow["permissions"] in ({}, {"contents": "read"}), "more is for one job"
    for job in workflow["jobs"].values():
        assert 0 < int(job["timeout-minutes"]) <= 60
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert actions[0].startswith("actions/checkout@")
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in actions), actions


def test_the_workflows_run_what_this_repository_has() -> None:
    workflows = {path.stem: read_workflow(path) for path in WORKFLOWS}
    steps = [step for workflow in workflows.values() for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert [step["run"] for step in workflows["ci"]["jobs"]["test"]["steps"] if "run" in step] == [".ci/run"]
    made = {target for command in commands for target in re.findall(r"^make ([a-z-]+)", command, re.MULTILINE)}
    assert {"up", "test", "lock"} <= made <= find_make_targets()
    started = {name for command in commands for name in re.findall(r"gh workflow run (\S+)", command)}
    assert started <= {path.name for path in WORKFLOWS}


def test_renovate_finds_every_tag_of_a_base_image() -> None:
    (manager,) = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    (pattern,) = (match.replace("(?<", "(?P<") for match in manager["matchStrings"])
    files = [re.compile(word.strip("/").replace(r"\/", "/")) for word in manager["managerFilePatterns"]]
    listed = [path for path in run_git("ls-files").split() if any(file.search(path) for file in files)]
    tags = {path: set(re.findall(pattern, (ROOT / path).read_text())) for path in listed}
    assert len(tags["compose.yaml"]) >= 6
    assert tags["compose.yaml"] == tags[".env.example"]
    in_dockerfiles = set().union(*(tags[path] for path in listed if path.endswith("Dockerfile")))
    assert in_dockerfiles == tags["compose.yaml"]


def test_the_engine_is_asked_for_nothing_that_engine_29_refuses() -> None:
    # Engine 29.0 refuses API versions below 1.44. Since API 1.52 a container's address stands below its network only.
    network = r"Bridge|EndpointID|Gateway|IPAddress|IPPrefixLen|IPv6Gateway|MacAddress"
    refused = rf"""['"]/v1\.[0-9]+/|NetworkSettings(\.|['"]\]\[['"])({network})"""
    listed = subprocess.run(["git", "grep", "-nE", refused], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (listed.stdout, listed.returncode) == ("", 1)
