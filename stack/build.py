"""Builds the images of the stack, and removes the ones that a build has replaced."""

import threading
from collections.abc import Iterable

from apps import serve
from stack import engine, images
from stack.compose import LABEL, Compose

NOTICE_SECONDS = 4  # a build of what is up to date takes less


def build_all() -> None:
    """Builds every image, the application's on every base: for tests and lint, which start no stack of the user's."""
    found = images.ensure()
    build(Compose(found))
    for base in serve.bases():
        build(Compose({**found, "APP_BASE": base}), [])


def build(compose: Compose, parts: Iterable[str] | None = None) -> None:
    """Builds the images that are missing or out of date: the app's, and those of `parts` (None: of every proxy)."""
    services = ["app", "certs", *(compose.proxies() if parts is None else parts)]
    if all(images.exists(compose.services[name]["image"]) for name in services):
        text = "up: rebuilding what has changed"
        notice = threading.Timer(NOTICE_SECONDS, print, [text], {"flush": True})
        notice.start()
    else:
        notice = None
        print("up: building the images (half a minute the first time, longer on a slow network)", flush=True)
    try:
        compose.run("build", "--quiet", *services, environment={"COMPOSE_PROJECT_NAME": compose.image_project})
    finally:
        if notice:
            notice.cancel()
    remove_images(compose.image_project, "dangling=true")


def remove_images(project: str, *filters: str) -> tuple[int, int]:
    """Removes a project's images that no container uses. Returns how many there were, and how many are left."""
    words = [word for each in (f"label={LABEL}.project={project}", *filters) for word in ("--filter", each)]
    found = set((engine.output("docker", "image", "ls", "--quiet", "--no-trunc", *words) or "").split())
    if found:
        engine.output("docker", "image", "rm", *found)
    return len(found), sum(map(images.exists, found))
