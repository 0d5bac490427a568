"""Builds the images of the stack, and removes the images that a build has replaced."""

import os
import re
import subprocess
from collections.abc import Iterable, Sequence

from apps.runtime import serve
from stack import ROOT, Problem, engine, fingerprint, images, own_app, progress
from stack.compose import LABEL, Compose

MOUNTED = ("apps/static", "loadtests", "tests/claims/probe")  # the folders of this repository that containers mount
SHOWN_LINES = 40  # how much is shown of the step that failed


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
    open_mounted_files()
    if own_app.is_chosen(compose):
        own_app.prepare_build(compose)
    names = ["app", "certs", *(compose.proxies() if parts is None else parts)]
    services = [name for name in names if "build" in compose.services[name]]  # a user's service may have none
    fingerprints = compute_fingerprints(compose, services)
    ids = images.read_ids(compose.image(name) for name in services)
    outdated = []
    for name in services:
        image = compose.image(name)
        if image in ids and fingerprint.is_up_to_date(image, ids[image], fingerprints[name]):
            continue
        if image in ids and not image.endswith(":latest"):
            progress.show(f"images: {image} is a release that is there already, and stays as it is")
        else:
            outdated.append(name)
    if outdated:
        run_build(compose, outdated)
        for image, image_id in images.read_ids(compose.image(name) for name in outdated).items():
            name = next(name for name in outdated if compose.image(name) == image)
            fingerprint.write(image, image_id, fingerprints[name])


def open_mounted_files() -> None:
    """Lets the containers' users read what they mount. After a clone under umask 077, only its owner can."""
    for path in [path for name in MOUNTED for path in [*ROOT.glob(name), *ROOT.glob(f"{name}/**/*")]]:
        try:
            mode = path.stat().st_mode
            readable = mode | (0o555 if path.is_dir() else 0o444)
            if mode != readable:
                path.chmod(readable)
        except FileNotFoundError:
            pass  # Python's cache, which changes meanwhile
        except PermissionError:
            raise Problem(f"containers cannot read {path}: run `sudo chmod -R a+rX {' '.join(MOUNTED)}`") from None


def compute_fingerprints(compose: Compose, services: Sequence[str]) -> dict[str, str]:
    """What the image of each service would be built from now (stack/fingerprint.py)."""
    bases = [image for name in services for image in fingerprint.list_bases(compose.services[name])]
    base_ids = images.read_ids(bases)
    return {name: fingerprint.compute(compose.services[name], base_ids) for name in services}


def run_build(compose: Compose, services: Sequence[str]) -> None:
    """Runs `docker compose build`. `Problem` names the image and the reason, below what the step has printed."""
    log = ROOT / f".cache/build-{compose.environment.get('APP_BASE') or 'app'}.log"
    log.parent.mkdir(exist_ok=True)
    # The project's name becomes a label of the images.
    environment = {**compose.environment, "COMPOSE_PROJECT_NAME": compose.image_project, "BUILDKIT_PROGRESS": "plain"}
    command = ["docker", "compose", "build", *services]
    log_name = os.path.relpath(log, ROOT)
    lines = []
    try:
        with progress.step(f"images: building {', '.join(services)} (log: {log_name})"), log.open("w") as file:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False)
            if done.returncode != 0:
                text = log.read_text(errors="replace")
                lines, failed = read_failed_step(text), " and ".join(find_failed(text, services))
                raise Problem(f"the image of {failed} cannot be built: {summarize(lines)}")
    except Problem:
        progress.show("\n".join(lines[-SHOWN_LINES:]))
        raise


def read_failed_step(text: str) -> list[str]:
    """What the first step that failed has printed, from the log; the log's last lines where no step has failed."""
    for number in re.findall(r"^#(\d+) ERROR", text, re.MULTILINE):
        lines = re.findall(rf"^#{number} \d+\.\d+ (.*\S)", text, re.MULTILINE)
        if lines:
            return lines
    return text.rstrip().splitlines()[-SHOWN_LINES:]


def summarize(lines: Sequence[str]) -> str:
    """The line that tells why a step failed: an exception with its place, the first error, or the last line."""
    last = lines[-1].strip() if lines else "no message"
    places = re.findall(r'File "(.+)", line (\d+)', "\n".join(lines))
    if places and re.match(r"\w+(Error|Exception)\b", last):
        own = [place for place in places if place[0].startswith("/app/")] or places  # the project's, where it is one
        return f"{own[-1][0].removeprefix('/srv/')}, line {own[-1][1]}: {last}"
    return next((line.strip() for line in lines if re.match(r"\s*(ERROR|E|error):", line)), last)


def find_failed(text: str, services: Sequence[str]) -> list[str]:
    """The services whose images failed, from the log; every service of the build where the log names none."""
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
