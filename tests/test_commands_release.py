"""What a release may not touch: an app that works, the user's own containers and services, and all data."""

import re
import time

import pytest

from stack.compose import LABEL
from tests.support.checkout import Checkout, complaint
from tests.support.engine import client, exec_in, inspect

pytestmark = pytest.mark.full
BROKEN = '"""Broken."""\n\nraise RuntimeError("no such table")\n'
# Services of a user's: a cache with a health check, and a worker with a profile, without any.
OVERRIDE = """
services:
  app: {networks: [backend, data, jobs], volumes: ["uploads:/srv/uploads"]}
  cache:
    image: ${IMAGES}-app
    command: [sleep, "600"]
    init: true
    healthcheck: {test: "true"}
    networks: [data]
    ports: ["8000"]
  worker:
    image: ${IMAGES}-app
    command: [sleep, "600"]
    init: true
    profiles: [jobs]
    healthcheck: {disable: true}
    networks: [jobs]
networks: {jobs: {}}
volumes: {uploads: {}}
"""


def test_a_release_that_fails_at_its_import_says_so_at_once_and_changes_nothing(checkout: Checkout) -> None:
    assert checkout.make("up", "PROXY=caddy", "SERVER=granian").returncode == 0
    image = f"{checkout.environment['IMAGES']}-app"
    before, image_id = checkout.left(), client().images.get(image).id
    certificate = exec_in(checkout.container("caddy"), "cat", "/certs/fullchain.pem")
    broken = checkout.folder / "apps/asgi/broken.py"
    broken.write_text(BROKEN)
    began = time.monotonic()
    try:
        done = checkout.make("up", "PROXY=caddy", "SERVER=uvicorn", "APP=broken", "DOMAIN=shop.example")
    finally:
        broken.unlink()
    assert done.returncode != 0 and time.monotonic() - began < 40
    assert "no such table" in done.stderr
    reason = "APP=broken cannot be imported: /srv/apps/asgi/broken.py, line 3: RuntimeError('no such table')"
    assert f"up: the app does not stay up: {reason}; the old app goes on" in done.stderr
    assert checkout.left() == before, "a container was replaced"
    assert client().images.get(image).id == image_id, "the bad image kept the name"
    assert exec_in(checkout.container("caddy"), "cat", "/certs/fullchain.pem") == certificate


def test_what_is_the_users_survives_a_release_and_the_removal(checkout: Checkout) -> None:
    override, settings = checkout.folder / "compose.override.yaml", checkout.folder / ".env"
    override.write_text(OVERRIDE)
    settings.write_text("PROXY=caddy\nCOMPOSE_PROFILES=jobs\n")
    labels = {f"{LABEL}.project": checkout.project, f"{LABEL}.service": "app", f"{LABEL}.oneoff": "True"}
    networks = {"network": f"{checkout.project}_data"}
    try:
        started = checkout.make("up")
        assert started.returncode == 0, started.stderr
        services = [checkout.container("cache"), checkout.container("worker")]
        assert re.search(
            r"^cache +running, healthy|^cache +running, starting", checkout.make("ps").stdout, re.MULTILINE
        )
        # As `docker compose run app python manage.py migrate` makes it.
        image = f"{checkout.environment['IMAGES']}-app"
        migration = client().containers.run(image, "sleep 600", detach=True, init=True, labels=labels, **networks)
        swapped = checkout.make("up", "SERVER=uvicorn")
        assert swapped.returncode == 0, swapped.stderr
        assert "in each of" not in swapped.stdout, "the migration counted as a container of the app"
        assert inspect(migration.id)["State"]["Running"], "the migration was ended"
        assert services == [checkout.container("cache"), checkout.container("worker")]
        check_removal(checkout, migration.name)
        volumes = [f"{checkout.project}_{name}" for name in ("caddy", "certs", "data", "media", "uploads")]
        assert checkout.left() == volumes, "`make down` removes all but the volumes"
        assert "confirm with `make destroy YES=1`" in complaint(checkout.make("destroy"))
        assert checkout.left() == volumes
        check_failed_start(checkout, volumes)
        assert checkout.destroy().returncode == 0
        assert checkout.left() == []
    finally:
        for file in (override, settings):
            file.unlink()


def check_removal(checkout: Checkout, migration: str) -> None:
    """`make down` waits for a command of `docker compose run`, and then removes the containers."""
    line = complaint(checkout.make("down"))
    assert f"a command of `docker compose run` is at work: wait for it, or run `docker stop {migration}`" in line
    client().api.remove_container(migration, force=True)
    done = checkout.make("down")
    assert done.returncode == 0 and "its volumes stay" in done.stdout, done.stderr


def check_failed_start(checkout: Checkout, volumes: list[str]) -> None:
    """A first start that fails leaves the volumes that were there before."""
    broken = checkout.folder / "apps/wsgi/broken.py"
    broken.write_text(BROKEN)
    try:
        done = checkout.make("up", "SERVER=gunicorn", "INTERFACE=wsgi", "APP=broken")
    finally:
        broken.unlink()
    assert done.returncode != 0
    assert checkout.left() == volumes, "the start removed data"
