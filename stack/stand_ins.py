"""Stand-ins for the official images, made from Debian packages: images/Dockerfile."""

import os
import shutil
import subprocess
import tempfile

from stack import ROOT, Problem, apt, engine

RELEASE = "forky"  # has the Python, nginx and busybox versions that the official images have today
BASE = "stack-base:debian"


def tag(name: str) -> str:
    """The stand-in's tag. `name`: what the image carries (`python`, a proxy, `postgres`)."""
    return f"stack-base:{name}"


def make(name: str, image: str, ca_bundle: str | None) -> str:
    """Builds the stand-in for `image`, and the Debian below it where that is missing. Returns the stand-in's tag."""
    if engine.output("docker", "image", "inspect", "--format", "{{.Id}}", BASE) is None:
        make_debian()
    command = ["docker", "buildx", "build", "--load", "--quiet", "--target", name, "--tag", tag(name)]
    command += ["--secret", f"id=ca,src={ca_bundle}"] if ca_bundle else []
    command += ["--file", "images/Dockerfile", "requirements"]
    done = engine.run(*command, cwd=ROOT)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line or line.startswith("E:")]
        error = " ".join(errors)[:500] or done.stderr[-500:]
        raise Problem(f"{image} cannot be pulled and its stand-in cannot be built: {error}")
    return tag(name)


def make_debian() -> None:
    """Makes the minimal Debian below the stand-ins, with mmdebstrap."""
    if not shutil.which("mmdebstrap"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Problem(
                "no container registry is reached, and base images cannot be made without mmdebstrap: install it"
            )
        apt.apt("update", "-qq")
        apt.apt("install", "-qq", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring")
    try:
        mirror = [apt.debian_mirror()]
    except Problem:
        mirror = []  # not Debian: mmdebstrap has a default mirror
    with tempfile.TemporaryDirectory(prefix="stack-base-") as folder:
        archive = f"{folder}/debian.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--keyring={apt.KEYRING}"]
        command += ['--aptopt=Acquire::Check-Valid-Until "false"', RELEASE, archive, *mirror]
        done = engine.run(*command, umask=0o022)
        if done.returncode != 0:
            raise Problem(f"mmdebstrap could not make a Debian {RELEASE}: {' '.join(done.stderr.split())[-500:]}")
        subprocess.run(["docker", "import", archive, BASE], check=True, stdout=subprocess.DEVNULL)
