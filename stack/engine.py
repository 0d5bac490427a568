"""Finds a working Docker engine with Compose and buildx; on Debian and Ubuntu as root, makes one.

`check` only looks. `install` is what `make engine` does: nothing where everything works. Debian 12 packages
neither Compose v2 nor buildx: there, the two plugins come from a later Debian release, as single files,
without that release being added to the machine's own sources.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from stack import Problem

PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
PLUGINS_FROM = "forky"  # its docker-compose 2.40 and docker-buildx 0.29 run on glibc 2.34 and later
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LOG = Path("/var/log/dockerd.log")
START_SECONDS = 60
APT = {"DEBIAN_FRONTEND": "noninteractive"}


def output(*command: str, timeout: float = 60) -> str | None:
    """What a command prints, stripped; None where it fails, is missing or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def missing() -> list[str]:
    """What is not there of: client, engine, compose (v2 or later), buildx. Empty where all work."""
    if not shutil.which("docker"):
        return ["the docker client", "a Docker engine", "Docker Compose v2", "Docker buildx"]
    lacks = []
    if output("docker", "version", "--format", "{{.Server.Version}}") is None:
        lacks.append("a Docker engine that answers")
    if not re.match(r"v?([2-9]|\d\d)\.", output("docker", "compose", "version", "--short") or ""):
        lacks.append("Docker Compose v2")
    if output("docker", "buildx", "version") is None:
        lacks.append("Docker buildx")
    return lacks


def check() -> None:
    """Raises `Problem` unless everything is there."""
    if lacks := missing():
        raise Problem(f"{' and '.join(lacks)} not found: run `make engine`, or start Docker if it is installed")


def install() -> None:
    """Makes what is missing, with progress; `Problem` where this machine is not one that it can do that on."""
    lacks = missing()
    if not lacks:
        print(f"engine: {describe()} - nothing to do")
        return
    release = os_release()
    if not {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()} or not shutil.which(
        "apt-get"
    ):
        raise Problem(
            f"{' and '.join(lacks)} not found, and this is not Debian or Ubuntu: install Docker Engine 20.10 or later "
            "with its Compose (v2) and buildx plugins, and start it"
        )
    if os.geteuid() != 0:
        raise Problem(f"{' and '.join(lacks)} not found: run `sudo make engine`, or start Docker if it is installed")
    if shutil.which("dockerd"):  # it may be only that nobody started it
        start()
        lacks = missing()
        if not lacks:
            print(f"engine: {describe()}")
            return
    print(f"engine: missing: {', '.join(lacks)}; installing from this machine's package sources", flush=True)
    apt("update", "-qq")
    if not shutil.which("dockerd") and output("docker", "version", "--format", "{{.Server.Version}}") is None:
        apt("install", "-qq", "--no-install-recommends", "docker.io", "iptables", "ca-certificates")
    if not shutil.which("docker"):  # a package of its own since Debian 13
        apt("install", "-qq", "--no-install-recommends", "docker-cli")
    start()
    for name, packages in (("compose", ("docker-compose-v2", "docker-compose")), ("buildx", ("docker-buildx",))):
        if any(name in lack.lower() for lack in missing()):
            plugin(name, packages)
    if lacks := missing():
        raise Problem(f"{' and '.join(lacks)} still not there after the installation; the engine's log is {LOG}")
    print(f"engine: {describe()}")


def describe() -> str:
    """The versions in one phrase."""
    engine = output("docker", "version", "--format", "{{.Server.Version}}")
    compose = output("docker", "compose", "version", "--short")
    buildx = (output("docker", "buildx", "version") or "? ?").split()[1]
    return f"Docker {engine}, Compose {compose}, buildx {buildx}"


def os_release() -> dict[str, str]:
    """The fields of /etc/os-release; empty on other systems."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def apt(*arguments: str) -> None:
    """Runs apt-get, showing only what went wrong."""
    words = [word for before, word in zip(("", *arguments), arguments, strict=False) if "-o" not in (before, word)]
    print(f"engine: apt-get {' '.join(word for word in words if not word.startswith('-'))}", flush=True)
    command = ["apt-get", "-y", "-o", "DPkg::Lock::Timeout=120", *arguments]
    done = subprocess.run(command, env=os.environ | APT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        wrong = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise Problem(f"apt-get {arguments[0]} failed: {' '.join(wrong)}")


def start() -> None:
    """Starts the engine, through systemd where it runs, else by hand, and waits until it answers."""
    if output("docker", "version", "--format", "{{.Server.Version}}") is not None:
        return
    if os.environ.get("DOCKER_HOST"):
        raise Problem(f"no engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: unset it, or start that engine")
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "enable", "--now", "docker"], capture_output=True, check=False)
    else:
        by_hand()
    print("engine: starting", end="", flush=True)
    until = time.monotonic() + START_SECONDS
    while output("docker", "version", "--format", "{{.Server.Version}}") is None:
        if time.monotonic() > until:
            print()
            last = LOG.read_text().splitlines()[-1] if LOG.is_file() else "see `journalctl -u docker`"
            raise Problem(f"the engine did not answer within {START_SECONDS} s: {last}")
        time.sleep(0.5)
        print(".", end="", flush=True)
    print(" up")


def by_hand() -> None:
    """Starts dockerd where there is no systemd. One that was killed leaves pid files that stop the next."""
    for name in ("docker.pid", "docker/containerd/containerd.pid"):
        file = Path("/var/run") / name
        if file.is_file() and not running(file.read_text().strip()):
            file.unlink()
    with LOG.open("ab") as log:
        subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def running(pid: str) -> bool:
    """Whether `pid` is a living process of Docker's: the number may belong to another by now, or to a dead one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    status = dict(line.partition(":\t")[::2] for line in lines)
    return status["Name"] in ("dockerd", "containerd") and not status["State"].startswith("Z")


def plugin(name: str, packages: tuple[str, ...]) -> None:
    """Installs a CLI plugin: this release's package if it is recent enough, else a later Debian's file."""
    for package in packages:
        candidate = re.search(r"Candidate: (?:\d+:)?(\d+)\.(\d+)", output("apt-cache", "policy", package) or "")
        if candidate and (int(candidate[1]), int(candidate[2])) >= ((2, 20) if name == "compose" else (0, 12)):
            apt("install", "-qq", "--no-install-recommends", package)
            return
    with tempfile.TemporaryDirectory(prefix="stack-plugins-") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "lists/partial").mkdir(parents=True)
        (Path(folder) / "later.list").write_text(f"deb [signed-by={KEYRING}] {debian_mirror()} {PLUGINS_FROM} main\n")
        later = [
            *("-o", f"Dir::Etc::sourcelist={folder}/later.list", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={folder}/lists", "-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Check-Valid-Until=false"),  # a frozen mirror's release file expires
        ]
        apt(*later, "update", "-qq")
        print(f"engine: {packages[-1]} from Debian {PLUGINS_FROM} to {PLUGINS}", flush=True)
        fetch = subprocess.run(
            ["apt-get", *later, "download", packages[-1]], cwd=folder, capture_output=True, text=True, check=False
        )
        archives = list(Path(folder).glob("*.deb"))
        if fetch.returncode != 0 or not archives:
            raise Problem(
                f"{packages[-1]} could not be fetched from Debian {PLUGINS_FROM}: {fetch.stderr.strip()[-200:]}"
            )
        subprocess.run(["dpkg-deb", "-x", str(archives[0]), f"{folder}/root"], check=True)
        binary = next(Path(folder).glob(f"root/usr/**/cli-plugins/docker-{name}"))
        PLUGINS.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binary, PLUGINS / binary.name)


def debian_mirror() -> str:
    """The Debian archive that this machine's apt is set to use."""
    sources = output("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages") or ""
    mirrors = [uri for label, _, uri in (line.partition(" ") for line in sources.splitlines()) if label == "Debian"]
    if not mirrors:
        raise Problem(
            "apt knows no Debian archive to take the plugins from: install Docker's Compose v2 and buildx plugins"
        )
    return mirrors[0]
