"""The base images: the official ones, or stand-ins made from Debian packages where no registry is reached.

`ensure` takes what the engine has: the official image, else the stand-in. Where both are missing, it pulls the official
image, or makes the stand-in. `make images` pulls and decides again (`ensure(anew=True)`). See images/README.md.
"""

import os
import re
import select
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stack import ROOT, Problem, dotenv, engine, progress, proxies, stand_ins

PULL_SILENCE_SECONDS = 20  # a registry that is silent for so long counts as unreachable
# The engine's words where no registry was reached. Any other error is a registry's answer: a wrong name, a rate limit.
UNREACHABLE = re.compile(
    r"dial tcp|no such host|connection re(?:fused|set)|unreachable|no route to host|x509|proxyconnect"
    r"|server misbehaving|i/o timeout|handshake timeout|Client\.Timeout|deadline exceeded|no answer|\bEOF$"
)
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

    Shows a step for each image that is pulled or made. `Problem` where a registry refuses an image.
    """
    official = read_official()
    # A service of the user's has no base image here.
    names = ["python", *(name for name in (proxies.names() if parts is None else parts) if name in official)]
    present = find_present(names)
    silent: dict[str, str] = {}  # the registries that are not reached, and why
    chosen = {}
    for name in names:
        argument = to_argument(name)
        if argument in present and not anew:
            chosen[argument] = present[argument]
            continue
        named = dotenv.overlay(os.environ).get(argument)
        image = named or official[name]
        reason = silent.get(registry(image)) or pull(image)
        if UNREACHABLE.search(reason):
            silent[registry(image)] = reason
        if not reason:
            chosen[argument] = image
        elif exists(image):
            progress.show(f"images: keeping {image}, which cannot be pulled: {reason}")
            chosen[argument] = image
        elif named:
            raise Problem(f"{argument}={named} cannot be pulled: {reason}")
        else:
            chosen[argument] = make_stand_in(name, image, reason)
    return chosen


def find_present(names: Iterable[str] | None = None) -> dict[str, str]:
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
        elif settings.get("STAND_INS") != "no" and stand_ins.tag(name) in ids:
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
    template = "{{.Id}}{{range .RepoTags}} {{.}}{{end}}{{range .RepoDigests}} {{.}}{{end}}"
    command = ["docker", "image", "inspect", "--format", template, *names]
    done = engine.run(*command)  # fails where one image is missing
    lines = [line.split() for line in done.stdout.splitlines() if line]
    ids = {tag: words[0] for words in lines for tag in words[1:]}
    return {name: ids[full] for name in names if (full := with_tag(name)) in ids}


def registry(image: str) -> str:
    """The host in an image's name; "" for Docker's own registry."""
    host = image.partition("/")[0] if "/" in image else ""
    return host if "." in host or ":" in host or host == "localhost" else ""


def with_tag(image: str) -> str:
    """An image's name as the engine lists it: with the tag, and without the registry, that Docker assumes."""
    name = image.removeprefix("docker.io/").removeprefix("library/")
    if "@" in name:  # the engine lists a digest without the tag beside it
        path, _, digest = name.partition("@")
        folder, mark, last = path.rpartition("/")
        return f"{folder}{mark}{last.partition(':')[0]}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def pull(image: str) -> str:
    """Pulls an image, and shows a step once the download begins. Returns "", or why no registry is reached.

    `Problem` where a registry answers and does not give the image.
    """
    command = ["docker", "pull", image]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        if not select.select([process.stdout], [], [], PULL_SILENCE_SECONDS)[0]:
            process.terminate()
            return f"no answer within {PULL_SILENCE_SECONDS} s"
        last = ""
        for line in process.stdout:
            last = line
            if "Pulling from" in line:
                with progress.step(f"images: pulling {image}"):
                    last = (process.stdout.read().splitlines() or [line])[-1]
    error = last.strip().removeprefix("Error response from daemon: ")
    if process.returncode == 0:
        return ""
    if UNREACHABLE.search(error) or (exists(image) and image not in read_official().values()):
        return error  # a registry does not know an image that the user has built here
    raise Problem(f"{image} cannot be pulled: {error}")


def make_stand_in(name: str, image: str, reason: str) -> str:
    """Makes the stand-in for an official image; returns its tag. `reason`: why the image cannot be pulled."""
    if dotenv.overlay(os.environ).get("STAND_INS") == "no":
        raise Problem(f"{image} cannot be pulled, and STAND_INS=no refuses a stand-in: {reason}")
    with progress.step(f"images: {image} cannot be pulled ({reason}); making a stand-in from Debian packages"):
        tag = stand_ins.make(name, image, ca_bundle())
    progress.show(f"images: {tag} has {version(tag, name)}")
    return tag


def version(image: str, name: str) -> str:
    """The name and version of the program in an image, as the program prints it. `name`: as in `read_official`."""
    program, *arguments = VERSION.get(name, ("python3", "--version"))
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments]
    done = engine.run(*command)
    number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return f"{name} {number[0] if number else '?'}"


def ca_bundle() -> str | None:
    """The host's CA bundle, for builds behind a proxy that re-signs TLS."""
    candidates = (os.environ.get("CA_BUNDLE"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    return next((str(Path(name).resolve()) for name in candidates if name and Path(name).is_file()), None)
