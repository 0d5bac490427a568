"""`make bench-ui`: Locust's web page on the stack that `make up` started, with every scenario to pick from.

It is for looking and trying, not for measuring. Ctrl-C ends the page and removes its container, and nothing else.
"""

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Mapping

from stack import Problem, images, proxies, settings
from stack.compose import Compose
from stack.ports import HTTPS, Port, find_error
from stack.swap import remove_containers
from stack.waiting import wait_until

FILES = "compose.yaml:loadtests/ui/compose.yaml"
SERVICE = "ui"
INSIDE = 8089  # Locust's port in its container
READY_SECONDS = 30


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Starts the page, says where it is, and stays until Ctrl-C or until the page ends."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    port = environ.get("UI_PORT") or str(INSIDE)
    if not (port.isdigit() and 1 <= int(port) <= 65535):
        raise Problem(f"UI_PORT={port} is not a port: give a number from 1 to 65535")
    compose = Compose({"COMPOSE_FILE": FILES, "UI_PORT": port, "UI_HOST": ""})
    proxy = find_running_proxy(compose)
    compose = compose.with_settings(images.ensure([]) | {"UI_HOST": f"https://{proxy}:{HTTPS}"})
    remove_containers(compose.containers(SERVICE, include_stopped=True))  # of one that was killed
    if find_error(compose, Port(SERVICE, "127.0.0.1", int(port), INSIDE, "tcp")):
        raise Problem(f"port {port} is in use: make bench-ui UI_PORT={int(port) % 65535 + 1}")
    build(compose)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show_page(compose, int(port), proxy)
    except KeyboardInterrupt:
        print("\nbench-ui: ended")


def show_page(compose: Compose, port: int, proxy: str) -> None:
    """Starts the page's container, and removes it when the page ends: by Ctrl-C, or by itself (`Problem`)."""
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", SERVICE)
        container = compose.container(SERVICE)
        wait_for_page(compose, container, port)
        print(f"bench-ui: http://127.0.0.1:{port} asks https://{proxy}:{HTTPS}; Ctrl-C ends it", flush=True)
        subprocess.run(["docker", "wait", container], stdout=subprocess.DEVNULL, check=False)
        raise Problem(f"the page ended: {read_last_line(compose, container)}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough
        remove_containers(compose.containers(SERVICE, include_stopped=True))


def find_running_proxy(compose: Compose) -> str:
    """The proxy that the page asks: NGINX, or the first that runs. `Problem` says what of the stack does not run."""
    if not compose.containers("app"):
        raise Problem("the stack is not up: no app container runs; `make up` starts it")
    running = [name for name in proxies.names() if compose.containers(name)]
    if not running:
        raise Problem("the stack is not up: no proxy runs; `make up` starts it")
    return "nginx" if "nginx" in running else running[0]


def build(compose: Compose) -> None:
    """Builds the generator's image where it is missing or out of date."""
    if not images.exists(compose.services[SERVICE]["image"]):
        print("bench-ui: building the generator's image (a minute the first time)", flush=True)
    compose.run("build", "--quiet", SERVICE, environment={"COMPOSE_PROJECT_NAME": compose.image_project})


def wait_for_page(compose: Compose, container: str, port: int) -> None:
    """Waits until the page answers; `Problem`, with the last line of its log, where it does not."""

    def has_ended() -> bool:
        return compose.inspect(container, "{{.State.Running}}") != "true"

    wait_until(lambda: is_answered(port) or has_ended(), READY_SECONDS)
    if not is_answered(port):
        raise Problem(f"the page did not start: {read_last_line(compose, container)}")


def is_answered(port: int) -> bool:
    """Whether the page answers on a port of this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    return False


def read_last_line(compose: Compose, container: str) -> str:
    """The last line that a container wrote."""
    if not compose.inspect(container, "{{.Id}}"):
        return "its container was removed"
    return (compose.logs(container, 5).splitlines() or ["it wrote nothing"])[-1]
