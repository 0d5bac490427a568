"""The conditions of a record: the releases that were measured, the machine, and the client."""

import json
import os
import platform
import re
from typing import Any

import pytest

from stack import ROOT, engine
from tests.support.engine import run_once
from tests.support.stack import IMAGES, PROXIES, proxy_version
from tools import claims

CONDITIONS = pytest.StashKey[dict[str, Any]]()
# Runs in the app's image: the releases of Python and of every package.
READ_RELEASES = """
import json, platform
from importlib.metadata import distributions
releases = {package.name.lower(): package.version for package in distributions()}
print(json.dumps({"python": platform.python_version()} | releases))
"""


def read_conditions(config: pytest.Config) -> dict[str, Any]:
    """The machine, and the releases of the images, read once a run."""
    if CONDITIONS in config.stash:
        return config.stash[CONDITIONS]
    image = f"{IMAGES}-app"
    releases = json.loads(run_once(image, "-c", READ_RELEASES, entrypoint="python3", network_mode="none"))
    releases |= dict(pin.partition("==")[::2] for pin in claims.pins())
    lines = (ROOT / "requirements/app.in").read_text().splitlines()
    names = ["python", *sorted(name[0] for line in lines if (name := re.match(r"[a-z][\w-]*", line)))]
    versions = {name: releases[name] for name in names} | {name: proxy_version(name) for name in PROXIES}
    config.stash[CONDITIONS] = {
        "versions": versions,
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, {engine.describe()}",
        "client": f"Python {platform.python_version()}",
    }
    return config.stash[CONDITIONS]
