"""`make outdated`: the pins of requirements/*.txt that have a newer release, with its changelog. Changes nothing."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stack import ROOT, Problem, images
from stack.up import format_table
from tools import venv
from tools.lock import IMAGE

PIP = (str(ROOT / ".venv/bin/pip"),)
# For the images' Python. Wheels only, because pip would have to build the others to read their metadata.
OPTIONS = (
    *("install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--disable-pip-version-check"),
    *("--only-binary", ":all:", "--python-version", IMAGE[0], "--retries", "0", "--timeout", "15"),
)
MISSING = re.compile(r"No matching distribution found for ([\w.-]+)")
# Where the releases of a base image are announced. Its registry knows the newest tag.
RELEASES = {
    "python": "https://docs.python.org/3/whatsnew/changelog.html",
    "nginx": "https://nginx.org/en/CHANGES",
    "caddy": "https://github.com/caddyserver/caddy/releases",
    "apache": "https://httpd.apache.org/download.cgi",
    "traefik": "https://github.com/traefik/traefik/releases",
    "haproxy": "https://www.haproxy.org/",
    "postgres": "https://www.postgresql.org/docs/release/",
}


class Release(NamedTuple):
    """The newest release of a package, and the address of its changelog; empty where the metadata has none."""

    version: str
    changelog: str


def main(pip: Sequence[str] = PIP, folder: Path = ROOT / "requirements") -> None:
    """Prints the outdated packages, and the base images; `Problem` where no package index is reached."""
    if pip == PIP:
        venv.make()
    requirements = read_requirements(folder)
    newest, unknown = find_newest(pip, requirements.values())
    pins = read_pins(folder, requirements)
    rows = [
        (name, f"{' '.join(sorted(pins[name])):<14} → {newest[name].version:<14} {newest[name].changelog}".rstrip())
        for name in sorted(newest)
        if pins[name] != {newest[name].version}
    ]
    if rows:
        print(format_table(rows))
    counts = f"{len(rows)} of {len(requirements)} packages have a newer release"
    print(f"outdated: {counts}; `make lock UPGRADE=1` pins the newest, with what they need")
    if unknown:
        print(f"outdated: no wheel for Python {IMAGE[0]}, so not known here: {' '.join(sorted(unknown))}")
    print("outdated: base images, whose tags are in the files (`make images` pulls the newest patch release of a tag):")
    print(format_table([(image, RELEASES[name]) for name, image in sorted(images.read_official().items())]))


def list_files(folder: Path, ending: str) -> list[Path]:
    """The files of `folder` with that ending, and those beside the Dockerfiles (acme/requirements.in)."""
    return sorted([*folder.glob(f"*{ending}"), *folder.parent.glob(f"*/requirements{ending}")])


def read_requirements(folder: Path) -> dict[str, str]:
    """The packages that the project itself asks for, by normalized name, each with its bound, such as `django<6`."""
    requirements: dict[str, str] = {}
    for file in list_files(folder, ".in"):
        for line in file.read_text().splitlines():
            if match := re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*((?:[<>=!~][^#;\s]*)?)", line):
                requirements[normalize(match[1])] = match[1] + match[2]
    return requirements


def read_pins(folder: Path, names: Iterable[str]) -> dict[str, set[str]]:
    """The releases that the files of pins have of each package. Two files may have two."""
    pins: dict[str, set[str]] = {name: set() for name in names}
    for file in list_files(folder, ".txt"):
        for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", file.read_text(), re.MULTILINE):
            if normalize(name) in pins:
                pins[normalize(name)].add(version)
    return pins


def find_newest(pip: Sequence[str], requirements: Iterable[str]) -> tuple[dict[str, Release], set[str]]:
    """The newest release of each package that has a wheel, by normalized name, and the packages without a wheel."""
    left = {normalize(re.split(r"[<>=!~]", text)[0]): text for text in requirements}
    first, unknown = set(list(left)[:3]), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        while True:
            words = [*OPTIONS, "--target", f"{folder}/target", "--report", str(report), *left.values()]
            done = subprocess.run([*pip, *words], capture_output=True, text=True, errors="replace", check=False)
            if done.returncode == 0:
                return read_report(json.loads(report.read_text())), unknown
            if missing := MISSING.search(done.stderr):
                unknown.add(normalize(missing[1]))
                del left[normalize(missing[1])]
            # Of an index that it does not reach, pip says only that it has no such package.
            if not missing or first <= unknown:
                reason = " ".join(done.stderr.split())[-200:]
                raise Problem(f"the package index does not answer, so newer releases are not known here ({reason})")


def read_report(report: dict[str, Any]) -> dict[str, Release]:
    """What pip's report of an installation says of each package."""
    return {
        normalize(item["metadata"]["name"]): Release(item["metadata"]["version"], find_changelog(item["metadata"]))
        for item in report["install"]
    }


def find_changelog(metadata: dict[str, Any]) -> str:
    """The address whose label speaks of changes, or else the package's page of its sources."""
    links = [
        (label.lower(), url) for label, _, url in (text.partition(", ") for text in metadata.get("project_url", []))
    ]
    for words in (("change", "history", "release", "news", "what"), ("source", "code", "repo", "github", "home")):
        for label, url in links:
            if any(word in label for word in words):
                return url
    return str(metadata.get("home_page", ""))


def normalize(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
