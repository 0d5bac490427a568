"""Measures which features of HTTP each server speaks, alone and behind each proxy, with a container of real clients.

The probes themselves are in probe/client.py, the best configurations in probe/servers.py. What was measured is kept for
the claims of one run.
"""

import json
import re
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from testcontainers.compose import DockerCompose

from stack import ROOT, Problem, images
from stack.compose import LABEL
from tests.claims.probe import servers
from tests.support.engine import docker
from tests.support.stack import IMAGES, PROXIES, StackUnderTest, server_image
from tools import claims

OVERRIDE = "tests/claims/probe/compose.yaml"
IMAGE = f"{IMAGES}-probe{'-pinned' if claims.pins() else ''}"
FEATURES = (
    "0.9",
    "1.0",
    "1.1 keep-alive",
    "1.1 chunked request",
    "1.1 chunked reply",
    "1.1 pipelining",
    "100-continue",
    "h2 by ALPN",
    "h2c by prior knowledge",
    "h2c by Upgrade",
    "HTTP/3",
    "WebSocket over h1",
    "WebSocket over h2",
    "server-sent events",
    "103 early hints",
    "trailers",
)
Row = dict[str, Any]  # "features": name → ["yes" or "no", note]


def build_image() -> None:
    """Builds the probes' image on the one that has every server."""
    build = ["docker", "buildx", "build", "--load", "--progress=plain", "--tag", IMAGE]
    build += ["--label", f"{LABEL}.project={IMAGES}"]
    build += ["--build-arg", f"APP_IMAGE={server_image('mod_wsgi')}"]
    build += ["--build-arg", f"PINS={' '.join(claims.pins())}"]
    if bundle := images.ca_bundle():
        build += ["--secret", f"id=ca,src={bundle}"]
    done = subprocess.run(
        [*build, "--file", "tests/claims/probe/Dockerfile", "requirements"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and claims.pins():  # a user's mistake, most likely
        why = re.findall(r"ERROR: (No matching.*|Cannot install.*)", done.stderr)
        pytest.exit(
            f"PINS={','.join(claims.pins())}: {why[0] if why else done.stderr[-300:]}", pytest.ExitCode.USAGE_ERROR
        )
    assert done.returncode == 0, done.stderr[-2000:]


class Protocols(StackUnderTest):
    """A stack whose app can be the probes' own, with the container of the clients beside it."""

    def __init__(self, name: str, folder: Path) -> None:
        app = IMAGE if claims.pins() else ""
        super().__init__(name, folder, PROBE_IMAGE=IMAGE, PINNED_APP_IMAGE=app)
        self.files = ["compose.yaml", OVERRIDE]
        self.pinned = bool(claims.pins())  # measures other releases than the locked ones
        self.rows: dict[tuple[str, ...], Row] = {}

    def start_proxies(self) -> None:
        """The proxies as in any stack; then the clients' image, made of the one with all servers, and its container."""
        super().start_proxies()
        build_image()
        self.change({"COMPOSE_FILE": ":".join(self.files)})
        self.containers = DockerCompose(
            ROOT, compose_file_name=self.files, env_file=str(self.folder / "stack.env"), wait=False
        )
        self.start("probe")

    @cached_property
    def probe(self) -> str:
        """The clients' container."""
        (one,) = self.compose.containers("probe")
        return one

    def run(self, *command: str) -> Any:
        """What a command in the clients' container prints as JSON."""
        done = subprocess.run(
            ["docker", "exec", self.probe, "python3", "-m", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
        return json.loads(done.stdout)

    def alone(self, server: str, interface: str) -> Row:
        """Every feature of a server in its best configuration."""
        return self.once("alone", server, interface)

    def native(self, server: str, interface: str) -> Row:
        """Whether a server's own command serves an application of that interface."""
        return self.once("native", server, interface)

    def bare(self, server: str, interface: str) -> Row:
        """Whether `server module:app` serves an application of that interface."""
        return self.once("bare", server, interface)

    def once(self, *key: str) -> Row:
        """Measured the first time, remembered after."""
        if key not in self.rows:
            self.rows[key] = self.run("probe.alone", *key)
        return self.rows[key]

    def behind(self, server: str, interface: str) -> dict[str, Row]:
        """Every feature of the proxies in front of a server as its script in apps/servers starts it; by proxy."""
        key = ("behind", server, interface)
        if key not in self.rows:
            try:
                self.serve(server, interface, "probe", WORKERS="1")
            except Problem as problem:
                nothing = dict.fromkeys(FEATURES, ("no", f"does not start: {problem}"))
                self.rows[key] = {proxy: {"features": nothing, "h2": {}} for proxy in PROXIES}
                return self.rows[key]
            promises = (server, interface) == servers.REFERENCE  # the proxies' own: once is enough
            self.rows[key] = {proxy: self.through(proxy, promises) for proxy in PROXIES}
        return self.rows[key]

    def through(self, proxy: str, promises: bool = False) -> Row:
        """Every feature of a proxy, with what runs behind it now."""
        places = {"clear": [proxy, 8080], "tls": [proxy, 8443], "plain first": False, "promises": promises}
        return self.run("probe.client", json.dumps(places))

    def clients(self) -> str:
        """The clients and their releases."""
        said = docker("exec", self.probe, "sh", "-c", "curl --version; h2load --version; pip list --format freeze")
        lines = said.splitlines()
        wanted = ("aioquic==", "h2==", "websockets==")
        h3 = "with" if "HTTP3" in said else "without"
        parts = [" ".join(lines[0].split()[:2]) + f" {h3} HTTP/3", next(one for one in lines if "h2load" in one)]
        return ", ".join([*parts, *(one.replace("==", " ") for one in lines if one.startswith(wanted))])


def says(row: Row, feature: str) -> bool:
    """Whether a row says yes."""
    return row["features"][feature][0] == "yes"
