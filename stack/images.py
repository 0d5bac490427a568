"""The base images: the official ones, or stand-ins made from Debian packages where none can be pulled.

`ensure` takes what the engine has: the official image, else the stand-in. Where both are missing, it pulls the official
image, or makes the stand-in. `make images` decides again (`ensure(anew=True)`). See images/README.md.
"""

import os
import re
import select
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stack import ROOT, dotenv, engine, progress, proxies, stand_ins

PULL_SILENCE_SECONDS = 20  # a registry that is silent for so long counts as unreachable
# The command that prints a program's version; python3 --version for the images that are not listed.
VERSION = {
    "nginx": ("nginx", "-v"),
    "caddy": ("caddy", "version"),
    "traefik": ("traefik", "version"),
    "apache": ("httpd", "-v"),
    "haproxy": ("haproxy", "-v"),
    "postgres": ("postgres", "--version"),
}


def read_official() -> dict[str, str]:
    """The official images by what they carry (`python`, a proxy, `postgres`). compose.yaml names them."""
    pairs = re.findall(r"\$\{([A-Z]+)_IMAGE:-([^}]+)\}", (ROOT / "compose.yaml").read_text())
    return {name.lower(): image for name, image in pairs}


def ensure(parts: Iterable[str] | None = None, anew: bool = False) -> dict[str, str]:
    """The base images of Python and `parts` (None: of every proxy), by build argument; pulls or makes what is missing.

    Shows a step for each image that is pulled or made.
    """
    official = read_official()
    # A service of the user's has no base image here.
    names = ["python", *(name for name in (proxies.names() if parts is None else parts) if name in official)]
    chosen = find_present(names, with_stand_ins=not anew)
    is_reachable = True
    for name in names:
        if to_argument(name) in chosen:
            continue
        image = official[name]
        is_reachable = is_reachable and pull(image)
        chosen[to_argument(name)] = image if is_reachable else make_stand_in(name, image)
    return {to_argument(name): chosen[to_argument(name)] for name in names}


def find_present(names: Iterable[str] | None = None, with_stand_ins: bool = True) -> dict[str, str]:
    """The base images that need no work, by build argument: the ones that the user names, or that the engine has.

    `names`: as in `read_official`; None for all.
    """
    candidates = {name: image for name, image in read_official().items() if names is None or name in names}
    settings = dotenv.overlay(os.environ)
    ids = read_ids([*candidates.values(), *(stand_ins.tag(name) for name in candidates)])
    present = {}
    for name, image in candidates.items():
        if named := settings.get(to_argument(name)):
            present[to_argument(name)] = named
        elif image in ids:
            present[to_argument(name)] = image
        elif with_stand_ins and stand_ins.tag(name) in ids:
            present[to_argument(name)] = stand_ins.tag(name)
    return present


def to_argument(name: str) -> str:
    """The build argument, and setting, that names a base image."""
    return f"{name.upper()}_IMAGE"


def exists(image: str) -> bool:
    """Whether the engine has the image."""
    return engine.output("docker", "image", "inspect", "--format", "{{.Id}}", image) is not None


def read_ids(images: Iterable[str]) -> dict[str, str]:
    """The ids of the images that the engine has, by the names in `images`; one call for all."""
    names = list(dict.fromkeys(images))
    template = "{{.Id}}{{range .RepoTags}} {{.}}{{end}}"
    command = ["docker", "image", "inspect", "--format", template, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # fails where one image is missing
    lines = [line.split() for line in done.stdout.splitlines() if line]
    ids = {tag: words[0] for words in lines for tag in words[1:]}
    return {name: ids[full] for name in names if (full := with_tag(name)) in ids}


def with_tag(image: str) -> str:
    """An image's name with the tag that Docker assumes."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def pull(image: str) -> bool:
    """Pulls an image, and shows a step once the download begins; False where no registry answers or has the image."""
    command = ["docker", "pull", image]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        if not select.select([process.stdout], [], [], PULL_SILENCE_SECONDS)[0]:
            process.terminate()
        if any("Pulling from" in line for line in process.stdout):
            with progress.step(f"images: pulling {image}"):
                process.stdout.read()
    return process.returncode == 0


def make_stand_in(name: str, image: str) -> str:
    """Makes the stand-in for an official image; returns its tag."""
    with progress.step(f"images: {image} cannot be pulled; making a stand-in from Debian packages"):
        tag = stand_ins.make(name, image, ca_bundle())
    progress.show(f"images: {tag} has {version(tag, name)}")
    return tag


def version(image: str, name: str) -> str:
    """The name and version of the program in an image, as the program prints it. `name`: as in `read_official`."""
    program, *arguments = VERSION.get(name, ("python3", "--version"))
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return f"{name} {number[0] if number else '?'}"


def ca_bundle() -> str | None:
    """The host's CA bundle, for builds behind a proxy that re-signs TLS."""
    candidates = (os.environ.get("CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    return next((str(Path(name).resolve()) for name in candidates if name and Path(name).is_file()), None)
