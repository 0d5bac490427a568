"""Runs the claims' tests, which leave one record a claim, and then writes the page."""

import os
import re
import subprocess
import time
from collections.abc import Sequence

from stack import ROOT, Problem, settings
from stack.build import build_all
from tools.claims import page, records

IN_PROBE_IMAGE = ("C02", "C18", "C19")  # the claims whose servers run in the image that is built with PINS
PYTEST_USAGE_ERROR = 4
USUAL_SECONDS = 20  # the expected time of a claim that has no record yet


def main() -> None:
    """`make claims`. An interruption or a failure keeps the verdicts that were computed before it."""
    began = time.monotonic()
    settings.spelling(os.environ.get("MAKEFLAGS", ""))
    names, releases = choose_claims(), pins()
    if releases:
        refuse_other_claims(names)
    build_all()
    print(f"claims: {len(names)} to measure" + (f", with {' '.join(releases)}" if releases else ""), flush=True)
    code, interrupted = run_tests(names)
    page.write()
    file = page.FILE.relative_to(ROOT)
    if code == PYTEST_USAGE_ERROR:
        raise Problem("nothing was measured: the reason is above")
    if interrupted:
        raise Problem(f"interrupted: {file} has this run's verdicts so far, and the earlier verdicts for the rest")
    print(f"claims: {file} written ({(time.monotonic() - began) / 60:.1f} min)")
    if code:
        raise Problem("this run did not compute every verdict: the reasons are above")


def run_tests(names: Sequence[str]) -> tuple[int, bool]:
    """Runs the tests of the claims. Returns pytest's exit code, and whether Ctrl-C interrupted the run."""
    files = records.files()
    command = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "--record", "-q", "--no-header"]
    command += [*(str(files[name]) for name in names), "-m", "long or not long"]
    pytest = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"CLAIMS_CHOSEN": " ".join(names)})
    try:
        return pytest.wait(), False
    except KeyboardInterrupt:
        return pytest.wait(), True  # pytest got the same signal, and removes its stacks


def choose_claims() -> list[str]:
    """The claims to measure: the ones in ONLY, or all."""
    names = os.environ.get("ONLY", "").replace(",", " ").upper().split()
    if not names and "ONLY" in os.environ:
        raise Problem("ONLY is empty: name claims, such as ONLY=C20,C21, or leave it out to measure all")
    for name in names:
        if name not in records.files():
            raise Problem(f"ONLY={name} is not a claim here: choose from {', '.join(records.files())}")
    return names or list(records.files())


def pins() -> list[str]:
    """The releases in PINS, which replace the locked ones in the probe image."""
    releases = os.environ.get("PINS", "").replace(",", " ").split()
    for release in releases:
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", release):
            raise Problem(f"PINS={release} is not a release: give name==version, such as gunicorn==23.0.0")
    return releases


def refuse_other_claims(names: Sequence[str]) -> None:
    """`Problem` where PINS would not affect a claim, because its servers do not run in the probe image."""
    if others := sorted(set(names) - {*IN_PROBE_IMAGE}):
        which = "all" if len(names) == len(records.files()) else ", ".join(others)
        raise Problem(f"PINS is for {', '.join(IN_PROBE_IMAGE)}, not for {which}: make claims ONLY=C18 PINS=…")


def progress(identifier: str) -> str:
    """After a claim: its place in the run, and the time that the remaining claims took last time."""
    names = os.environ.get("CLAIMS_CHOSEN", "").split()
    if identifier not in names or len(names) == 1:
        return ""
    place = names.index(identifier) + 1
    measured = [records.read(name) for name in names[place:]]
    seconds = sum(record["seconds"] if record else USUAL_SECONDS for record in measured)
    return f"[{place} of {len(names)}; about {seconds / 60:.0f} min left]"
