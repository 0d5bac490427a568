"""Builds the images of the stack, and removes the images that a build has replaced."""

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from apps import serve
from stack import ROOT, Problem, engine, fingerprint, images, progress
from stack.compose import LABEL, Compose

TAIL_LINES = 40  # how much of the log is shown where a build fails


def build_all() -> None:
    """Builds every image, and the app's on every base. Tests and lint need them all."""
    base_images = images.ensure()
    build(Compose(base_images))
    for base in serve.bases():
        build(Compose({**base_images, "APP_BASE": base}), [])
    remove_images(Compose().image_project, "dangling=true")


def build(compose: Compose, parts: Iterable[str] | None = None) -> None:
    """Builds the images that are missing or out of date: the app's, and those of `parts` (None: of every proxy).

    The images that it replaces lose their names and stay: `remove_images` removes them.
    """
    names = ["app", "certs", *(compose.proxies() if parts is None else parts)]
    services = [name for name in names if "build" in compose.services[name]]  # a user's service may have none
    fingerprints = compute_fingerprints(compose, services)
    ids = images.read_ids(compose.image(name) for name in services)
    outdated = []
    for name in services:
        image = compose.image(name)
        if image not in ids or not fingerprint.is_up_to_date(image, ids[image], fingerprints[name]):
            outdated.append(name)
    if outdated:
        run_build(compose, outdated)
        for image, image_id in images.read_ids(compose.image(name) for name in outdated).items():
            name = next(name for name in outdated if compose.image(name) == image)
            fingerprint.write(image, image_id, fingerprints[name])


def compute_fingerprints(compose: Compose, services: Sequence[str]) -> dict[str, str]:
    """What the image of each service would be built from now (stack/fingerprint.py)."""
    bases = [image for name in services for image in fingerprint.list_bases(compose.services[name])]
    base_ids = images.read_ids(bases)
    return {name: fingerprint.compute(compose.services[name], base_ids) for name in services}


def run_build(compose: Compose, services: Sequence[str]) -> None:
    """Runs `docker compose build`. `Problem`, below the end of the log, names the images that failed."""
    log = ROOT / f".cache/build-{compose.environment.get('APP_BASE') or 'app'}.log"
    log.parent.mkdir(exist_ok=True)
    # The project's name becomes a label of the images.
    environment = {**compose.environment, "COMPOSE_PROJECT_NAME": compose.image_project, "BUILDKIT_PROGRESS": "plain"}
    command = ["docker", "compose", "build", *services]
    log_name = os.path.relpath(log, ROOT)
    try:
        with progress.step(f"images: building {', '.join(services)} (log: {log_name})"), log.open("w") as file:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False)
            if done.returncode != 0:
                failed = " and ".join(find_failed(log, services))
                raise Problem(f"the image of {failed} cannot be built: the end of {log_name} is above")
    except Problem:
        progress.show("\n".join(log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]))
        raise


def find_failed(log: Path, services: Sequence[str]) -> list[str]:
    """The services whose images failed, from the log; every service of the build where the log names none."""
    text = log.read_text(errors="replace")
    named = set(re.findall(r"^target (\S+): failed", text, re.MULTILINE))
    # `#12 [nginx 3/8] RUN …` names the service of a step, `#12 ERROR: …` is the step that failed.
    steps = dict(re.findall(r"^#(\d+) \[(\S+) ", text, re.MULTILINE))
    named |= {steps[number] for number in re.findall(r"^#(\d+) ERROR", text, re.MULTILINE) if number in steps}
    return [name for name in services if name in named] or list(services)


def remove_images(project: str, *filters: str) -> tuple[int, int]:
    """Removes a project's images that no container uses. Returns how many there were, and how many are left."""
    words = [word for text in (f"label={LABEL}.project={project}", *filters) for word in ("--filter", text)]
    ids = set((engine.output("docker", "image", "ls", "--quiet", "--no-trunc", *words) or "").split())
    if ids:
        engine.output("docker", "image", "rm", *ids)
    return len(ids), sum(map(images.exists, ids))
