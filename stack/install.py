"""`make engine`: on Debian and Ubuntu as root, installs and starts what is missing of Docker, Compose and buildx.

Debian 12 packages neither Compose v2 nor buildx. There, the two plugins come from a later Debian release as single
files. The machine's own package sources stay as they are.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from stack import Problem, engine
from stack.apt import KEYRING, apt, debian_mirror
from stack.waiting import wait_until

PLUGIN_FOLDER = Path("/usr/local/lib/docker/cli-plugins")
PLUGIN_RELEASE = "forky"  # its docker-compose 2.40 and docker-buildx 0.29 run on glibc 2.34 and later
# Each plugin's packages in the releases.
PLUGINS = {"compose": ("docker-compose-v2", "docker-compose"), "buildx": ("docker-buildx",)}
ENGINE_LOG = Path("/var/log/dockerd.log")
START_SECONDS = 60


def main() -> None:
    """`make engine`: does nothing where Docker works; `Problem` where this machine is not Debian or Ubuntu."""
    parts = engine.find_missing()
    if not parts:
        print(f"engine: {engine.describe()} - nothing to do{describe_group()}")
        return
    refuse_other_systems(parts)
    if shutil.which("dockerd"):  # an engine that is installed may only need to be started
        start_engine()
        parts = engine.find_missing()
        if not parts:
            print(f"engine: {engine.describe()}")
            return
    print(f"engine: missing: {', '.join(parts)}; installing from this machine's package sources", flush=True)
    apt("update", "-qq")
    if not shutil.which("dockerd") and not engine.read_engine_version():
        apt("install", "-qq", "--no-install-recommends", "docker.io", "iptables", "ca-certificates")
    if not shutil.which("docker"):  # a package of its own since Debian 13
        apt("install", "-qq", "--no-install-recommends", "docker-cli")
    start_engine()
    for name in PLUGINS:
        if any(name in part.lower() for part in engine.find_missing()):
            install_plugin(name)
    if parts := engine.find_missing():
        raise Problem(f"{' and '.join(parts)} still not there after the installation; the engine's log is {ENGINE_LOG}")
    print(f"engine: {engine.describe()}")


def refuse_other_systems(parts: list[str]) -> None:
    """Raises `Problem` unless this is Debian or Ubuntu, and root runs the command. `parts`: what is missing."""
    if engine.NO_ENGINE in parts and os.geteuid() != 0:  # it may only refuse this user
        raise Problem(engine.explain_silence())
    release = os_release()
    systems = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if not {"debian", "ubuntu"} & systems or not shutil.which("apt-get"):
        raise Problem(
            f"{' and '.join(parts)} not found, and this is not Debian or Ubuntu: install Docker Engine 20.10 or later "
            "with its Compose and buildx plugins, and start it"
        )
    if os.geteuid() != 0:
        raise Problem(f"{' and '.join(parts)} not found: run `sudo make engine`")


def describe_group() -> str:
    """What a user who ran this with sudo still needs, because the engine that works for root may refuse the user."""
    user = os.environ.get("SUDO_USER", "")
    groups = (engine.output("id", "-nG", user) or "").split() if user else ["docker"]
    return (
        "" if {"docker", "root"} & {*groups} else f"; without sudo it needs: usermod -aG docker {user}, and a new login"
    )


def os_release() -> dict[str, str]:
    """The fields of /etc/os-release; empty on other systems."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def start_engine() -> None:
    """Starts the engine unless it runs, and waits until it answers."""
    if engine.read_engine_version():
        return
    if os.environ.get("DOCKER_HOST"):
        raise Problem(f"no engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: unset it, or start that engine")
    print("engine: starting ...", end="", flush=True)
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "enable", "--now", "docker"], capture_output=True, check=False)
    else:
        start_dockerd()
    is_up = wait_until(engine.read_engine_version, START_SECONDS, 0.5)
    print(" up" if is_up else "")
    if not is_up:
        last = ENGINE_LOG.read_text().splitlines()[-1] if ENGINE_LOG.is_file() else "see `journalctl -u docker`"
        raise Problem(f"the engine did not answer within {START_SECONDS} s: {last}")


def start_dockerd() -> None:
    """Starts dockerd where there is no systemd. Removes the pid files of a killed dockerd, which stop the next one."""
    for name in ("docker.pid", "docker/containerd/containerd.pid"):
        file = Path("/var/run") / name
        if file.is_file() and not is_docker_process(file.read_text().strip()):
            file.unlink()
    with ENGINE_LOG.open("ab") as log:
        subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def is_docker_process(pid: str) -> bool:
    """Whether `pid` is a running process of Docker's. Another program may have the number of a process that ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    status = dict(line.partition(":\t")[::2] for line in lines)
    return status["Name"] in ("dockerd", "containerd") and not status["State"].startswith("Z")


def install_plugin(name: str) -> None:
    """Installs a plugin: this release's package where it is recent enough, else a later Debian's file."""
    packages = PLUGINS[name]
    for package in packages:
        policy = engine.output("apt-cache", "policy", package) or ""
        candidate = re.search(r"Candidate: (?:\d+:)?(\d+)\.(\d+)", policy)
        if candidate and (int(candidate[1]), int(candidate[2])) >= engine.FLOORS[name]:
            apt("install", "-qq", "--no-install-recommends", package)
            return
    copy_plugin_from_later_release(name, packages[-1])


def copy_plugin_from_later_release(name: str, package: str) -> None:
    """Takes a plugin's file out of the package of a later Debian release, with package lists of its own."""
    with tempfile.TemporaryDirectory(prefix="stack-plugins-") as path:
        folder = Path(path)
        folder.chmod(0o755)
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "later.list").write_text(f"deb [signed-by={KEYRING}] {debian_mirror()} {PLUGIN_RELEASE} main\n")
        options = [
            *("-o", f"Dir::Etc::sourcelist={folder}/later.list", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={folder}/lists", "-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Check-Valid-Until=false"),  # a frozen mirror's release file expires
        ]
        apt(*options, "update", "-qq")
        print(f"engine: {package} from Debian {PLUGIN_RELEASE} to {PLUGIN_FOLDER}", flush=True)
        command = ["apt-get", *options, "download", package]
        done = engine.run(*command, cwd=folder)
        archives = list(folder.glob("*.deb"))
        if done.returncode != 0 or not archives:
            error = done.stderr.strip()[-200:]
            raise Problem(f"{package} could not be fetched from Debian {PLUGIN_RELEASE}: {error}")
        subprocess.run(["dpkg-deb", "-x", str(archives[0]), f"{folder}/root"], check=True)
        binary = next(folder.glob(f"root/usr/**/cli-plugins/docker-{name}"))
        PLUGIN_FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binary, PLUGIN_FOLDER / binary.name)
