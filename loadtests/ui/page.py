"""`make bench-ui`: Locust's web page on the stack that `make up` started, with every scenario to pick from.

To look and to try, not to measure. Ctrl-C ends it and removes its container, and nothing else.
"""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping

from stack import Problem, images, proxies, settings
from stack.compose import Compose
from stack.ports import Port, find_error
from stack.swap import remove_containers

FILES = "compose.yaml:loadtests/ui/compose.yaml"
SERVICE = "ui"
READY_SECONDS = 30


def main(environ: Mapping[str, str] = os.environ) -> None:
    """Starts the page, says where it is, and stays until Ctrl-C or until it ends."""
    settings.spelling(environ.get("MAKEFLAGS", ""))
    port = environ.get("UI_PORT") or "8089"
    if not (port.isdigit() and 1 <= int(port) <= 65535):
        raise Problem(f"UI_PORT={port} is not a port: give a number from 1 to 65535")
    compose = Compose({"COMPOSE_FILE": FILES, "UI_PORT": port, "UI_HOST": ""})
    proxy = running(compose)
    compose = compose.with_settings(images.ensure([]) | {"UI_HOST": f"https://{proxy}:8443"})
    remove_containers(compose.containers(SERVICE, include_stopped=True))  # of one that was killed
    if find_error(compose, Port(SERVICE, "127.0.0.1", int(port), 8089, "tcp")):
        raise Problem(f"port {port} is in use: make bench-ui UI_PORT={int(port) % 65535 + 1}")
    build(compose)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", SERVICE)
        (container,) = compose.containers(SERVICE, include_stopped=True)
        ready(compose, container, int(port))
        print(f"bench-ui: http://127.0.0.1:{port} asks https://{proxy}:8443; Ctrl-C ends it", flush=True)
        subprocess.run(["docker", "wait", container], stdout=subprocess.DEVNULL, check=False)
        raise Problem(f"the page ended: {last(compose, container)}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C is enough
        remove_containers(compose.containers(SERVICE, include_stopped=True))


def running(compose: Compose) -> str:
    """The proxy that is asked; `Problem` says what of the stack does not run."""
    if not compose.containers("app"):
        raise Problem("the stack is not up: no app container runs; `make up` starts it")
    found = [name for name in proxies.names() if compose.containers(name)]
    if not found:
        raise Problem("the stack is not up: no proxy runs; `make up` starts it")
    return "nginx" if "nginx" in found else found[0]


def build(compose: Compose) -> None:
    """Builds the generator's image where it is missing or out of date."""
    if not images.exists(compose.config["services"][SERVICE]["image"]):
        print("bench-ui: building the generator's image (a minute the first time)", flush=True)
    compose.run("build", "--quiet", SERVICE, environment={"COMPOSE_PROJECT_NAME": compose.image_project})


def ready(compose: Compose, container: str, port: int) -> None:
    """Waits until the page answers; `Problem`, with the last line of its log, where it does not."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and compose.inspect(container, "{{.State.Running}}") == "true":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise Problem(f"the page did not start: {last(compose, container)}")


def last(compose: Compose, container: str) -> str:
    """The last line that a container wrote."""
    if not compose.inspect(container, "{{.Id}}"):
        return "its container was removed"
    return (compose.logs(container, 5).splitlines() or ["it said nothing"])[-1]
