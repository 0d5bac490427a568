"""Debian's package manager, on this machine."""

import os

from stack import Problem, engine, progress

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def apt(*arguments: str) -> None:
    """Runs apt-get and shows the command without its options; `Problem` with apt's own error where it fails."""
    words = [word for before, word in zip(("", *arguments), arguments, strict=False) if "-o" not in (before, word)]
    progress.show(f"engine: apt-get {' '.join(word for word in words if not word.startswith('-'))}")
    command = ["apt-get", "-y", "-o", "DPkg::Lock::Timeout=120", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = engine.run(*command, env=environment)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise Problem(f"apt-get {arguments[0]} failed: {' '.join(errors)}")


def debian_mirror() -> str:
    """The Debian archive in this machine's package sources."""
    sources = engine.output("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages") or ""
    mirrors = [uri for label, _, uri in (line.partition(" ") for line in sources.splitlines()) if label == "Debian"]
    if not mirrors:
        raise Problem(
            "apt knows no Debian archive to take the plugins from: install Docker's Compose v2 and buildx plugins"
        )
    return mirrors[0]
