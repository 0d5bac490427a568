"""Which features of HTTP each server speaks, without a proxy and behind each proxy, asked by real clients.

The clients are in the probe container: probe/features.py. The servers' best configurations are in probe/servers.py. The
fixture `protocols` keeps what was measured for all claims of a run.
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
from tests.claims.support.containers import exec_separately
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
    """Builds the probe image on the image that has every server."""
    command = ["docker", "buildx", "build", "--load", "--progress=plain", "--tag", IMAGE]
    command += ["--label", f"{LABEL}.project={IMAGES}"]
    command += ["--build-arg", f"APP_IMAGE={server_image('mod_wsgi')}"]
    command += ["--build-arg", f"PINS={' '.join(claims.pins())}"]
    if bundle := images.ca_bundle():
        command += ["--secret", f"id=ca,src={bundle}"]
    done = subprocess.run(
        [*command, "--file", "tests/claims/probe/Dockerfile", "requirements"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and claims.pins():  # most likely a release that does not exist
        reasons = re.findall(r"ERROR: (No matching.*|Cannot install.*)", done.stderr)
        reason = reasons[0] if reasons else done.stderr[-300:]
        pytest.exit(f"PINS={','.join(claims.pins())}: {reason}", pytest.ExitCode.USAGE_ERROR)
    assert done.returncode == 0, done.stderr[-2000:]


class Protocols(StackUnderTest):
    """A stack whose app can be the probe's own, with the container of the clients beside it."""

    def __init__(self, name: str, folder: Path) -> None:
        app = IMAGE if claims.pins() else ""
        super().__init__(name, folder, PROBE_IMAGE=IMAGE, PINNED_APP_IMAGE=app)
        self.files = ["compose.yaml", OVERRIDE]
        self.pinned = bool(claims.pins())  # measures other releases than the locked ones
        self.rows: dict[tuple[str, ...], Row] = {}

    def start_proxies(self) -> None:
        """Starts the proxies as in any stack, then builds the clients' image and starts their container."""
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
        return self.container("probe")

    def run_probe(self, *command: str) -> Any:
        """What a module in the clients' container prints as JSON."""
        status, output, errors = exec_separately(self.probe, "python3", "-m", *command)
        assert status == 0, f"{command}: {errors[-3000:]}"
        return json.loads(output)

    def probe_server(self, server: str, interface: str) -> Row:
        """Every feature of a server in its best configuration, without a proxy."""
        return self.run_once("best", server, interface)

    def probe_native(self, server: str, interface: str) -> Row:
        """Whether a server's own command serves an application of that interface."""
        return self.run_once("native", server, interface)

    def probe_bare(self, server: str, interface: str) -> Row:
        """Whether `server module:app` serves an application of that interface."""
        return self.run_once("bare", server, interface)

    def run_once(self, *key: str) -> Row:
        """Measures the first time, and remembers the row."""
        if key not in self.rows:
            self.rows[key] = self.run_probe("probe.single_server", *key)
        return self.rows[key]

    def probe_behind_proxies(self, server: str, interface: str) -> dict[str, Row]:
        """By proxy: every feature of the proxy in front of a server as its script in apps/servers starts it."""
        key = ("behind", server, interface)
        if key not in self.rows:
            try:
                self.serve(server, interface, "probe", WORKERS="1")
            except Problem as problem:
                no_features = dict.fromkeys(FEATURES, ("no", f"does not start: {problem}"))
                self.rows[key] = {proxy: {"features": no_features, "h2": {}} for proxy in PROXIES}
                return self.rows[key]
            promises = (server, interface) == servers.REFERENCE  # they are the proxies' own, so once is enough
            self.rows[key] = {proxy: self.probe_proxy(proxy, promises) for proxy in PROXIES}
        return self.rows[key]

    def probe_proxy(self, proxy: str, promises: bool = False) -> Row:
        """Every feature of a proxy, with the present server behind it."""
        places = {"clear": [proxy, 8080], "tls": [proxy, 8443], "prefer clear": False, "promises": promises}
        return self.run_probe("probe.features", json.dumps(places))


def speaks(row: Row, feature: str) -> bool:
    """Whether the answer of a row to a feature is yes."""
    return row["features"][feature][0] == "yes"
