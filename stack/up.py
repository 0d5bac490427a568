"""`make up`: builds what is missing, starts or swaps, waits until a request gets through, and says what runs."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from apps import serve
from stack import Problem, engine, images, progress, settings
from stack.build import remove_images
from stack.compose import Compose
from stack.lock import hold_lock
from stack.ports import HTTP, HTTPS, check_ports, published_number
from stack.readiness import site_name, wait_for_containers
from stack.running_stack import RunningStack
from stack.swap import remove_containers, remove_stopped

ACME_SECONDS = 180


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
    parts = [*proxies, *plan.more]
    stack = RunningStack(compose.with_settings(images.ensure(parts)))
    stack.build(parts)
    with stack.undo_on_failure(keep_volumes=plan.by_acme):
        outdated = find_outdated(stack.compose, [*parts, "app"])
        if outdated == ["app"] and stack.compose.containers("app"):
            swap_app(stack)
        else:
            start_parts(stack, [name for name in outdated if name != "app"], with_app=not plan.more)
            for service in plan.more:
                wait_for_containers(stack.compose, stack.compose.containers(service, include_stopped=True))
            start_or_swap_app(stack)
        if plan.exclusive:
            remove_other_proxies(stack.compose, proxies)
        containers = stack.compose.containers_by_service()
        running = [name for name in compose.proxies() if name in containers]
        with progress.step(f"up: waiting for an answer through {join(running)}"), ThreadPoolExecutor() as pool:
            version = pool.submit(ask_version, containers["app"][0], plan.choice.SERVER)
            stack.wait_for_proxies(running, ACME_SECONDS if plan.by_acme else None)
    remove_images(stack.compose.image_project, "dangling=true")  # the old app container used one
    choice = describe_choice(plan.choice, version.result(), len(containers["app"]))
    print(format_table(choice + describe_parts(stack.compose, running, plan.more)))
    if stack.read_authority():
        print("  The certificate is from this stack's own authority: `make trust` says how to trust it.")


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


def swap_app(stack: RunningStack) -> None:
    """Swaps the app where nothing else changes. The certificates are renewed meanwhile: no part waits for them."""
    with progress.step("up: renewing the certificates and swapping the app"), ThreadPoolExecutor() as pool:
        certificates = pool.submit(stack.make_certificates)

        def finish_certificates() -> None:
            certificates.result()
            stack.read_authority()  # for the question at the end: here, the swap waits anyway

        stack.swap_app(before_stop=finish_certificates)


def start_parts(stack: RunningStack, outdated: Sequence[str], with_app: bool) -> None:
    """Makes the certificates, and starts the parts that do not run with their present settings (`outdated`).

    Every configuration is checked before the first part is replaced. On a first start, when no container is there to
    protect, the app starts while the certificates are made (`with_app`: unless the app needs a part).
    """
    starts_app = with_app and not stack.compose.containers(include_stopped=True)
    with progress.step(f"up: making the certificates{' and starting the app' if starts_app else ''}"):
        has_networks = starts_app or bool(stack.compose.containers())
        stack.make_certificates(*(["app"] if starts_app else []))
    if outdated:
        with progress.step(f"up: checking the configuration of {join(outdated)}"):
            if starts_app:
                stack.create(*outdated)
            check_configurations(stack.compose, outdated, has_networks=has_networks)
        with progress.step(f"up: starting {join(outdated)}"):
            stack.start(*outdated)


def check_configurations(compose: Compose, proxies: Sequence[str], has_networks: bool) -> None:
    """Checks the proxies at the same time, or one by one where the first check has to make the networks."""
    with ThreadPoolExecutor(max_workers=len(proxies) if has_networks else 1) as pool:
        checks = [pool.submit(check_configuration, compose, name) for name in proxies]
    for check in checks:
        check.result()


def check_configuration(compose: Compose, proxy: str) -> None:
    """Lets a proxy that is about to start check its configuration; `Problem` if it refuses."""
    command = compose.check_command(proxy)
    if not command:
        return
    done = compose.command("run", "--rm", "--no-deps", "--no-TTY", proxy, *command)
    if done.returncode != 0:
        progress.show(done.stdout + done.stderr)
        raise Problem(f"{proxy} does not accept its configuration (see above): nothing was changed")


def start_or_swap_app(stack: RunningStack) -> None:
    """Starts the app, or swaps the one that runs, and waits until it answers."""
    running = stack.compose.containers("app")
    if running and not stack.compose.is_current("app", running):
        with progress.step("up: swapping the app"):
            stack.swap_app()
    else:
        with progress.step("up: waiting for the app"):
            if running:
                remove_stopped(stack.compose)
            else:
                stack.start("app")
            stack.wait_for_app()


def remove_other_proxies(compose: Compose, proxies: Sequence[str]) -> None:
    """Removes the proxies that run and are not in `proxies`."""
    running = compose.containers_by_service()
    others = [name for name in compose.proxies() if name in running and name not in proxies]
    remove_containers(container for name in others for container in running[name])


def ask_version(container: str, server: str) -> tuple[str, str]:
    """The versions of the server and of Python in an app container."""
    script = f"from apps import serve; print(serve.version({server!r}), serve.python_version())"
    version, python = (engine.output("docker", "exec", container, "python3", "-c", script) or "? ?").split()
    return version, python


def describe_choice(choice: serve.Choice, version: tuple[str, str], containers: int) -> list[tuple[str, str]]:
    """The table's rows on the app. `version`: of the server and of Python. `containers`: their number."""
    server, python = version
    workers = f"{choice.WORKERS}" + (f" in each of {containers} containers" if containers > 1 else "")
    return [
        ("server", f"{choice.SERVER} of Python {python}" if server == python else f"{choice.SERVER} {server}"),
        ("interface", choice.INTERFACE),
        ("app", choice.APP),
        ("workers", workers),
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
