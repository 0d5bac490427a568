"""`make up`: builds what is missing, starts or swaps, waits until a request gets through, and says what runs."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from apps.runtime import serve
from stack import Problem, engine, export, images, own_app, progress, settings
from stack.build import build, remove_images
from stack.certificates import reload_proxies
from stack.compose import Compose, explain
from stack.lock import hold_lock
from stack.ports import HTTP, HTTPS, check_ports, published_number
from stack.readiness import site_name, wait_for_containers
from stack.running_stack import RunningStack
from stack.swap import remove_containers, remove_unfinished

ACME_SECONDS = 180
PROCESS_SECONDS = 2  # a command that cannot start has ended by then


def main() -> None:
    """`make up`."""
    with hold_lock():
        up(settings.read(os.environ))


def up(plan: settings.Settings) -> None:
    """Does what `make up` promises; `Problem` where it cannot, with what ran before still running."""
    compose = plan.compose
    if other := compose.owned_elsewhere():
        raise Problem(
            f"a stack named {compose.project} runs from {other}: set COMPOSE_PROJECT_NAME=another-name in .env"
        )
    proxies = choose_proxies(plan)
    check_ports(compose, proxies)
    parts = [*proxies, *plan.more, *(["acme"] if plan.has_acme else [])]
    stack = RunningStack(compose.with_settings(images.ensure(parts)))
    with restore_images_on_failure(stack.compose, parts), stack.undo_on_failure(keep_new_volumes=plan.by_acme):
        build(stack.compose, parts)
        remove_unfinished(stack.compose)
        outdated = find_outdated(stack.compose, [*parts, "app"])
        if stack.compose.containers("app"):
            update(stack, plan, outdated)
        else:
            start(stack, plan, [name for name in outdated if name in proxies])
        start_processes(stack, plan)
        if plan.exclusive:
            remove_other_proxies(stack.compose, proxies)
        containers = stack.compose.containers_by_service()
        running = [name for name in compose.proxies() if name in containers]
        reload_proxies(stack.compose)
        with progress.step(f"up: waiting for an answer through {join(running)}"), ThreadPoolExecutor() as pool:
            version = pool.submit(ask_version, containers["app"][0], plan.choice.SERVER)
            stack.wait_for_proxies(running, ACME_SECONDS if plan.by_acme else None)
        start_acme(stack, plan)
    export.record()
    remove_images(stack.compose.image_project, "dangling=true")  # the old app container used one
    choice = describe_choice(stack.compose, plan.choice, version.result(), len(containers["app"]))
    print(format_table(choice + describe_parts(stack.compose, running, plan.more)))
    if plan.by_acme:
        service = "acme" if plan.has_acme else "caddy"
        print(f"  The certificate comes from an ACME server: `docker compose logs {service}` says when.")
    elif stack.read_authority():
        print("  The certificate is from this stack's own authority: `make trust` says how to trust it.")


@contextmanager
def restore_images_on_failure(compose: Compose, parts: Sequence[str]) -> Iterator[None]:
    """Gives the images of a release that fails their old names back, so that nothing starts the new ones.

    The app's new image keeps the name where the app was swapped before the failure.
    """
    before = images.read_ids(compose.image(name) for name in ["app", "certs", *parts])
    try:
        yield
    except BaseException:
        running = compose.containers("app")
        if running and compose.is_current("app", running):
            before.pop(compose.image("app"), None)
        present = images.read_ids(before)
        for image, image_id in before.items():
            if present.get(image) != image_id:
                engine.output("docker", "tag", image_id, image)
        remove_images(compose.image_project, "dangling=true")
        raise


def choose_proxies(plan: settings.Settings) -> list[str]:
    """The proxies to run: the ones that the settings ask for. Unless the user named some, the running ones too.

    (!) A proxy that runs already gets the new settings too. Otherwise it would keep an account that was taken away.
    """
    if plan.exclusive:
        return plan.proxies
    running = plan.compose.containers_by_service()
    return [name for name in plan.compose.proxies() if name in plan.proxies or name in running]


def find_outdated(compose: Compose, services: Sequence[str]) -> list[str]:
    """The services that do not run, or not with their present settings and image."""
    running = compose.containers_by_service()
    return [name for name in services if name not in running or not compose.is_current(name, running[name])]


def update(stack: RunningStack, plan: settings.Settings, outdated: Sequence[str]) -> None:
    """Replaces what does not run with its present settings (`outdated`), where an app runs: the proxies come last.

    Every configuration is checked before the first part is replaced. The certificates change after the app.
    """
    proxies = [name for name in outdated if name in stack.compose.proxies()]
    if proxies and not stack.compose.containers("certs", include_stopped=True):
        make_certificates(stack)  # the check reads them
    check_configurations(stack.compose, proxies, has_networks=True)
    start_and_wait(stack, [name for name in plan.more if name in outdated])
    if "app" in outdated:
        prepare_release(stack, plan)
        with progress.step("up: swapping the app, and renewing certificates that are old"):
            stack.swap_app(meanwhile=stack.make_certificates)
    else:
        make_certificates(stack)
        wait_for_app(stack)
    start_proxies(stack, proxies)


def start(stack: RunningStack, plan: settings.Settings, proxies: Sequence[str]) -> None:
    """Starts the app, the services beside it and the proxies that do not run with their present settings.

    On a first start, when no container is there to protect, the app starts while the certificates are made, and the
    proxies start beside it; unless the app needs a service or a release command first.
    """
    needs_more = plan.more or plan.release or plan.has_assets
    is_first = not stack.compose.containers(include_stopped=True) and not needs_more
    make_certificates(stack, *(["app"] if is_first else []))
    if is_first:
        stack.create(*proxies)
    check_configurations(stack.compose, proxies, has_networks=is_first or bool(stack.compose.containers()))
    if is_first:
        start_proxies(stack, proxies)
    start_and_wait(stack, plan.more)
    if not is_first:
        prepare_release(stack, plan)
        stack.start("app")
    wait_for_app(stack)
    if not is_first:
        start_proxies(stack, proxies)


def prepare_release(stack: RunningStack, plan: settings.Settings) -> None:
    """Does what comes before a new version takes traffic: APP_RELEASE, and the static files of the version."""
    if plan.release:
        own_app.run_release(stack.compose, plan.release)
    if plan.has_assets:
        own_app.copy_assets(stack.compose)


def start_processes(stack: RunningStack, plan: settings.Settings) -> None:
    """Starts or replaces what APP_PROCESSES names, after the app; removes it where the setting is gone."""
    if plan.has_processes:
        with progress.step("up: starting the processes beside the app"):
            stack.start("processes")
            containers = stack.compose.containers("processes", include_stopped=True)
            wait_for_containers(stack.compose, containers)
            time.sleep(PROCESS_SECONDS)
            check_processes(stack.compose, containers)
    elif stack.compose.containers("processes", include_stopped=True):
        stack.compose.run("rm", "--stop", "--force", "processes")


def check_processes(compose: Compose, containers: Sequence[str]) -> None:
    """Refuses a command of APP_PROCESSES that has ended. An app that was swapped stays in its new version."""
    for container in containers:
        state, restarts = compose.inspect(container, "{{.State.Status}} {{.RestartCount}}").split()
        if state != "running" or restarts != "0":
            progress.show(compose.logs(container))
            raise Problem("a command of APP_PROCESSES does not stay up: its log is above")


def start_acme(stack: RunningStack, plan: settings.Settings) -> None:
    """Starts the ACME client, after the proxies, which pass the server's question on; removes it without ACME_EMAIL."""
    if plan.has_acme:
        stack.start("acme")
    elif stack.compose.containers("acme", include_stopped=True):
        stack.compose.run("rm", "--stop", "--force", "acme")


def make_certificates(stack: RunningStack, *beside: str) -> None:
    """Makes or renews the certificates; shows a step. `beside`: services to start meanwhile."""
    with progress.step(f"up: making the certificates{' and starting the app' if beside else ''}"):
        stack.make_certificates(*beside)


def wait_for_app(stack: RunningStack) -> None:
    """Waits until the app answers; shows a step."""
    with progress.step("up: waiting for the app"):
        stack.wait_for_app()


def start_proxies(stack: RunningStack, proxies: Sequence[str]) -> None:
    """Starts proxies, or replaces them; shows a step."""
    if proxies:
        with progress.step(f"up: starting {join(proxies)}"):
            stack.start(*proxies)


def start_and_wait(stack: RunningStack, services: Sequence[str]) -> None:
    """Starts the services that the app needs, and waits until each is ready."""
    if services:
        with progress.step(f"up: starting {join(services)}"):
            stack.start(*services)
            for service in services:
                wait_for_containers(stack.compose, stack.compose.containers(service, include_stopped=True))


def check_configurations(compose: Compose, proxies: Sequence[str], has_networks: bool) -> None:
    """Checks the proxies at the same time, or one by one where the first check has to make the networks."""
    if not proxies:
        return
    with (
        progress.step(f"up: checking the configuration of {join(proxies)}"),
        ThreadPoolExecutor(max_workers=len(proxies) if has_networks else 1) as pool,
    ):
        for check in [pool.submit(check_configuration, compose, name) for name in proxies]:
            check.result()


def check_configuration(compose: Compose, proxy: str) -> None:
    """Lets a proxy that is about to start check its configuration; `Problem` if it refuses."""
    command = compose.check_command(proxy)
    if not command:
        return
    done = compose.command("run", "--rm", "--no-deps", "--no-TTY", proxy, *command)
    if done.returncode != 0:
        if engine_error := re.search(r"Error response from daemon: (.*)", done.stderr):
            raise Problem(f"the configuration of {proxy} cannot be checked: {explain(engine_error[1])}")
        progress.show(done.stdout + done.stderr)
        raise Problem(f"{proxy} does not accept its configuration (see above): nothing was changed")


def remove_other_proxies(compose: Compose, proxies: Sequence[str]) -> None:
    """Removes the proxies that run and are not in `proxies`."""
    running = compose.containers_by_service()
    others = [name for name in compose.proxies() if name in running and name not in proxies]
    remove_containers(container for name in others for container in running[name])


def ask_version(container: str, server: str) -> tuple[str, str, str]:
    """The versions of the server and of Python in an app container, and the application's interface."""
    script = f"from app_runtime import serve; print(serve.version({server!r}), serve.python_version(), "
    script += "serve.INTERFACE_FILE.read_text())"
    output = engine.output("docker", "exec", container, "python3", "-c", script) or "? ? ?"
    version, python, interface = output.split()
    return version, python, interface


def describe_choice(
    compose: Compose, choice: serve.Choice, version: tuple[str, str, str], containers: int
) -> list[tuple[str, str]]:
    """The table's rows on the app. `version`: of the server and Python, and the interface. `containers`: how many."""
    server, python, interface = version
    path = compose.services["app"]["environment"]["HEALTH_PATH"]
    workers = f"{choice.WORKERS}" + (f" in each of {containers} containers" if containers > 1 else "")
    return [
        ("server", f"{choice.SERVER} of Python {python}" if server == python else f"{choice.SERVER} {server}"),
        ("interface", interface),
        ("app", choice.APP + describe_stand_in(compose, "python")),
        ("workers", workers),
        *([("health", f"200 of {path}" if path else "any answer of / under 500")] if choice.is_own else []),
    ]


def describe_parts(compose: Compose, proxies: Sequence[str], more: Sequence[str]) -> list[tuple[str, str]]:
    """The table's rows on the proxies, with their addresses, and on the services beside them (`more`)."""
    name = site_name(compose)
    rows = []
    for proxy in proxies:
        https, http = (published_number(compose, proxy, inside) for inside in (HTTPS, HTTP))
        https_url = f"https://{name}{'' if https == 443 else f':{https}'}"
        http_url = f"http://{name}{'' if http == 80 else f':{http}'}"
        rows.append((proxy, f"{https_url}   {http_url}{describe_stand_in(compose, proxy)}"))
    return rows + [(service, f"for the app{describe_stand_in(compose, service)}") for service in more]


def describe_stand_in(compose: Compose, service: str) -> str:
    """The base image of a service in brackets, where that is a stand-in."""
    base = compose.environment.get(images.to_argument(service), "")
    return f"   ({base})" if base.startswith("stack-base") else ""


def format_table(rows: Sequence[tuple[str, str]]) -> str:
    """Rows with their labels in a column."""
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{width}}  {value}" for label, value in rows)


def join(names: Sequence[str]) -> str:
    """Names in words: "caddy, haproxy and nginx"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
