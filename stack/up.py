"""`make up`: builds what is missing, starts or swaps, waits until a request gets through, and says what runs."""

import os
import sys

from apps import serve
from stack import Problem, engine, images, settings
from stack.build import remove_images
from stack.compose import Compose
from stack.ports import HTTP, HTTPS, check_ports, published_number
from stack.readiness import READY_SECONDS, read_authority, site_name, wait_for_containers
from stack.running_stack import RunningStack
from stack.swap import remove_containers

ACME_SECONDS = 180


def main() -> None:
    """`make up`."""
    up(settings.read(os.environ))


def up(wanted: settings.Settings) -> None:
    """Does what `make up` promises; `Problem` where it cannot, with what ran before still running."""
    if other := wanted.compose.owned_elsewhere():
        raise Problem(
            f"a stack named {wanted.compose.project} runs from {other}: set COMPOSE_PROJECT_NAME=another-name in .env"
        )
    proxies = choose_proxies(wanted)
    parts = [*proxies, *wanted.more]
    check_ports(wanted.compose, proxies)
    stack = RunningStack(wanted.compose.with_settings(images.ensure(parts)))
    compose = stack.compose
    stack.build(parts)
    with stack.undo_on_failure(keep_volumes=wanted.by_acme):
        stack.make_certificates()
        for proxy in proxies:
            check_configuration(compose, proxy)
        stack.start(*parts)
        for service in wanted.more:
            wait_for_containers(compose, compose.containers(service, include_stopped=True))
        if compose.containers("app"):
            stack.swap_app()
        else:
            stack.start("app")
            stack.wait_for_app()
        if wanted.exclusive:
            others = (name for name in compose.proxies() if name not in proxies)
            remove_containers(container for name in others for container in compose.containers(name))
        running = [name for name in compose.proxies() if compose.containers(name)]
        stack.wait_for_proxies(running, ACME_SECONDS if wanted.by_acme else READY_SECONDS)
    remove_images(compose.image_project, "dangling=true")  # what ran until now
    print(describe(compose, wanted.choice, running, wanted.more))


def choose_proxies(wanted: settings.Settings) -> list[str]:
    """The proxies to run: those that are asked for, and those that run already, unless the user named some.

    (!) A proxy that runs already gets the new settings too. Otherwise it would keep an account that was taken away.
    """
    if wanted.exclusive:
        return wanted.proxies
    known = wanted.compose.proxies()
    return [name for name in known if name in wanted.proxies or wanted.compose.containers(name)]


def check_configuration(compose: Compose, proxy: str) -> None:
    """Lets a proxy that is about to be replaced check its new configuration first; `Problem` if it refuses."""
    running = compose.containers(proxy)
    command = compose.check_command(proxy)
    if not command or (running and compose.is_current(proxy, running)):
        return
    done = compose.command("run", "--rm", "--no-deps", "--no-TTY", proxy, *command)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise Problem(f"{proxy} does not accept its configuration (see above): nothing was changed")


def describe(compose: Compose, choice: serve.Choice, proxies: list[str], more: list[str]) -> str:
    """What runs and where it answers, as a table."""
    app = compose.containers("app")
    ask_version = f"from apps import serve; print(serve.version({choice.SERVER!r}), serve.python_version())"
    version, python = (engine.output("docker", "exec", app[0], "python3", "-c", ask_version) or "? ?").split()
    rows = [
        ("server", f"{choice.SERVER} {version}" if version != python else f"{choice.SERVER} of Python {python}"),
        ("interface", choice.INTERFACE),
        ("app", choice.APP),
        ("workers", f"{choice.WORKERS}" + (f" in each of {len(app)} containers" if len(app) > 1 else "")),
    ]
    name = site_name(compose)
    for proxy in proxies:
        https, http = (published_number(compose, proxy, inside) for inside in (HTTPS, HTTP))
        urls = (
            f"https://{name}{'' if https == 443 else f':{https}'}",
            f"http://{name}{'' if http == 80 else f':{http}'}",
        )
        rows.append((proxy, "   ".join(urls)))
    rows += [(service, "for the app") for service in more]
    bases = {service: compose.environment.get(f"{service.upper()}_IMAGE", "") for service in (*proxies, *more)}
    stand_ins = {service: f"   ({base})" for service, base in bases.items() if base.startswith("stack-base")}
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {value}{stand_ins.get(label, '')}" for label, value in rows]
    if read_authority(compose):
        lines.append("  The certificate is from this stack's own authority: `make trust` says how to trust it.")
    return "\n".join(lines)
