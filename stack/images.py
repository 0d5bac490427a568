"""The base images: the official ones, or stand-ins made from Debian packages where none can be pulled.

`ensure` decides for each image once and remembers the decision by what is on the engine; `make images`
(`ensure(anew=True)`) decides again. See images/README.md.
"""

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from stack import ROOT, Problem, engine, proxies

RELEASE = "forky"  # carries the Python, nginx and busybox that the official images of the day carry
BASE = "stack-base:debian"
PULL_SILENCE_SECONDS = 20  # a registry that says nothing for so long is not reached
VERSION = {
    "nginx": ("nginx", "-v"),
    "caddy": ("caddy", "version"),
    "traefik": ("traefik", "version"),
    "apache": ("httpd", "-v"),
    "haproxy": ("haproxy", "-v"),
    "postgres": ("postgres", "--version"),
}


def official() -> dict[str, str]:
    """The official images by what they carry (`python`, a proxy, `postgres`), from the one place that names them."""
    named = re.findall(r"\$\{([A-Z]+)_IMAGE:-([^}]+)\}", (ROOT / "compose.yaml").read_text())
    return {name.lower(): image for name, image in named}


def ensure(parts: Iterable[str] | None = None, anew: bool = False) -> dict[str, str]:
    """The base image for each build argument, pulled or made as need be; one line for each that was.

    For Python and `parts`; for every proxy where nothing is named.
    """
    chosen = {}
    reachable = True
    wanted = official()
    for name in ["python", *(proxies.names() if parts is None else parts)]:
        image, argument, stand_in = wanted[name], f"{name.upper()}_IMAGE", f"stack-base:{name}"
        named = os.environ.get(argument) or dotenv().get(argument)
        if named:
            chosen[argument] = named
        elif exists(image):
            chosen[argument] = image
        elif not anew and exists(stand_in):
            chosen[argument] = stand_in
        elif reachable and pull(image):
            chosen[argument] = image
        else:
            reachable = False
            chosen[argument] = make(name, image)
    return chosen


def dotenv() -> dict[str, str]:
    """The `NAME=value` lines of .env, which compose reads by itself; empty without the file."""
    file = ROOT / ".env"
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): unquoted(value.strip()) for name, mark, value in pairs if mark}


def unquoted(value: str) -> str:
    """A value as compose reads it: without its quotes, or, where it has none, without the comment behind it."""
    quoted = re.match(r"""(['"])(.*?)\1""", value)
    return quoted[2] if quoted else re.split(r"(?:^|\s)#", value)[0].strip()


def exists(image: str) -> bool:
    """Whether the engine has the image."""
    return engine.output("docker", "image", "inspect", "--format", "{{.Id}}", image) is not None


def pull(image: str) -> bool:
    """Pulls an image, saying so once it comes; False where no registry answers or has it."""
    command = ["docker", "pull", image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        if not select.select([process.stdout], [], [], PULL_SILENCE_SECONDS)[0]:
            process.terminate()
        for line in process.stdout:
            if "Pulling from" in line:
                print(f"images: pulling {image}", flush=True)
    return process.returncode == 0


def ca_bundle() -> str | None:
    """The host's CA bundle, for builds behind a proxy that re-signs TLS."""
    candidates = (os.environ.get("CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    return next((str(Path(name).resolve()) for name in candidates if name and Path(name).is_file()), None)


def make(name: str, image: str) -> str:
    """Builds one stand-in, the Debian below it first; returns its tag."""
    began = time.monotonic()
    print(f"images: {image} cannot be pulled: making a stand-in from Debian {RELEASE} packages ...", flush=True)
    if not exists(BASE):
        bootstrap()
    tag = f"stack-base:{name}"
    command = ["docker", "buildx", "build", "--load", "--quiet", "--target", name, "--tag", tag]
    bundle = ca_bundle()
    if bundle:
        command += ["--secret", f"id=ca,src={bundle}"]
    done = subprocess.run(
        [*command, "--file", "images/Dockerfile", "requirements"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        wrong = [line for line in done.stderr.splitlines() if "ERROR" in line or line.startswith("E:")]
        raise Problem(
            f"{image} cannot be pulled and its stand-in cannot be built: {' '.join(wrong)[:500] or done.stderr[-500:]}"
        )
    print(f"images: {tag}, {version(tag, name)}, stands in for {image} ({time.monotonic() - began:.0f} s)", flush=True)
    return tag


def version(tag: str, name: str) -> str:
    """What a base image carries, as its own program says."""
    ask = VERSION.get(name, ("python3", "--version"))
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", ask[0], tag, *ask[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return f"{name} {found[0] if found else '?'}"


def bootstrap() -> None:
    """Makes the minimal Debian that the stand-ins are built on, with mmdebstrap."""
    if not shutil.which("mmdebstrap"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Problem(
                "no container registry is reached, and base images cannot be made without mmdebstrap: install it"
            )
        engine.apt("update", "-qq")
        engine.apt("install", "-qq", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring")
    try:
        mirror = [engine.debian_mirror()]
    except Problem:
        mirror = []  # not Debian: mmdebstrap knows a mirror
    with tempfile.TemporaryDirectory(prefix="stack-base-") as folder:
        archive = f"{folder}/debian.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--keyring={engine.KEYRING}"]
        command += ['--aptopt=Acquire::Check-Valid-Until "false"', RELEASE, archive, *mirror]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Problem(f"mmdebstrap could not make a Debian {RELEASE}: {' '.join(done.stderr.split())[-500:]}")
        subprocess.run(["docker", "import", archive, BASE], check=True, stdout=subprocess.DEVNULL)
