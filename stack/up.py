"""`make up`: builds what is missing, starts or swaps, waits until a request gets through, and says what runs.

A swap starts the new app container beside the old one, waits until it answers and the proxies know it, and
then stops the old one, which finishes what it has (docs/decisions/0003-swap-by-overlap.md).
"""

import errno
import http.client
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from apps import serve
from stack import CHECKOUT, ROOT, Problem, engine, images, settings
from stack.compose import LABEL, Compose, sweep

READY_SECONDS = 60
ENVIRONMENT = "{{range .Config.Env}}{{println .}}{{end}}"
DNS_SECONDS = 2.5  # the proxies ask for the app's addresses every 2 s
ACME_SECONDS = 180


def main() -> None:
    """`make up`."""
    up(settings.read(os.environ))


def up(wanted: settings.Settings) -> None:
    """Does what `make up` promises; `Problem` where it cannot, with what ran before still running."""
    compose = wanted.compose
    if other := compose.owned_elsewhere():
        raise Problem(
            f"a stack named {compose.project} runs from {other}: set COMPOSE_PROJECT_NAME=another-name in .env"
        )
    # (!) A proxy that runs already gets the new settings, too: else it would keep an account that was taken away.
    if not wanted.alone:
        ran = {name for name in compose.proxies() if compose.containers(name)}
        wanted = wanted._replace(proxies=[name for name in compose.proxies() if name in ran | {*wanted.proxies}])
    free_ports(compose, wanted.proxies)
    compose.environment |= images.ensure(wanted.parts)
    build(compose, wanted.parts)
    with undone_on_failure(compose, keep_volumes=wanted.by_acme):
        certificates(compose)
        for proxy in wanted.proxies:
            check(compose, proxy)
        compose.run("up", "--detach", "--no-build", "--no-deps", *wanted.parts)
        for one in (one for name in wanted.more for one in compose.containers(name, everything=True)):
            wait_for_health(compose, one)
        if compose.containers("app"):
            swap(compose)
        else:
            compose.run("up", "--detach", "--no-build", "--no-deps", "app")
            wait_for_app(compose, compose.containers("app", everything=True))
        if wanted.alone:
            remove(
                [one for name in compose.proxies() if name not in wanted.proxies for one in compose.containers(name)]
            )
        running = [name for name in compose.proxies() if compose.containers(name)]
        wait_for_proxies(compose, running, ACME_SECONDS if wanted.by_acme else READY_SECONDS)
    sweep(compose.builder, "dangling=true")  # what ran until now
    table(compose, wanted.choice, running, wanted.more)


def free_ports(compose: Compose, proxies: list[str]) -> None:
    """Raises `Problem` where a port that is to be published cannot be."""
    seen: dict[tuple[int, str], str] = {}
    for port in (port for port in compose.ports() if port.service in proxies):
        knob = f"{port.service.upper()}_{'HTTP' if port.inside == 8080 else 'HTTPS'}_PORT"
        if (other := seen.setdefault((port.number, port.protocol), knob)) != knob:
            raise Problem(f"{other} and {knob} are both {port.number}: give them different ports")
        wrong = compose.unusable(port)
        if wrong == errno.EADDRNOTAVAIL:
            raise Problem(f"BIND={port.host} is not an address of this machine")
        if wrong:
            raise Problem(
                f"port {port.number} ({port.service}, {port.protocol}) on {port.host} is in use: "
                f"free it, or set {knob} to another"
            )


def certificates(compose: Compose) -> None:
    """Runs the service that makes or renews the certificates; `Problem`, with its log, where it fails."""
    compose.run("up", "--detach", "--no-build", "--no-deps", "certs")
    (maker,) = compose.containers("certs", everything=True)
    code = engine.output("docker", "wait", maker)
    if code != "0":
        print(compose.logs(maker), file=sys.stderr)
        raise Problem("no certificate: what its maker said is above")


def check(compose: Compose, proxy: str) -> None:
    """Lets a proxy that is about to be replaced judge its new configuration first; `Problem` if it refuses."""
    running = compose.containers(proxy)
    command = compose.check_command(proxy)
    if not command or (running and compose.is_current(proxy, running)):
        return
    run = ["docker", "compose", "run", "--rm", "--no-deps", "--no-TTY", proxy, *command]
    done = subprocess.run(run, cwd=ROOT, env=compose.environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise Problem(f"{proxy} does not accept its configuration (see above): nothing was changed")


def build_only() -> None:
    """Builds the images, the application's on every base, for tests and lint, which start no stack of the user's."""
    found = images.ensure()
    build(Compose(found))
    for base in serve.bases():
        build(Compose(found | {"APP_BASE": base}), [])


def build(compose: Compose, parts: list[str] | None = None) -> None:
    """Builds the images that are missing, showing each step, or out of date, saying so if it takes a while.

    Those of `parts` and of what each needs; of every proxy where nothing is named.
    """
    services = ["app", "certs", *(compose.proxies() if parts is None else parts)]
    if not all(images.exists(compose.config["services"][name]["image"]) for name in services):
        print("up: building the images (half a minute the first time, longer on a slow network)", flush=True)
        compose.run("build", *services, capture=False, COMPOSE_PROJECT_NAME=compose.builder)
    else:
        notice = threading.Timer(4, print, ["up: rebuilding what has changed"], {"flush": True})
        notice.start()
        try:
            compose.run("build", "--quiet", *services, COMPOSE_PROJECT_NAME=compose.builder)
        finally:
            notice.cancel()
    sweep(compose.builder, "dangling=true")


def decide() -> None:
    """`make images`: decides anew which base images `make up` would use, and says so."""
    for argument, image in images.ensure(settings.read(os.environ).parts, anew=True).items():
        print(f"images: {argument}={image}")


def clean() -> None:
    """`make clean`: removes the images that were built for this checkout; what others use of them stays."""
    if engine.missing():
        return
    found, left = map(sum, zip(sweep(Compose().project), sweep(CHECKOUT), strict=True))
    print(f"clean: {found - left} images removed" + (f"; {left} are in use: `make down` first" if left else ""))


@contextmanager
def undone_on_failure(compose: Compose, keep_volumes: bool) -> Iterator[None]:
    """A first start that fails or is interrupted leaves nothing (but, on wish, volumes: an ACME account is in one)."""
    existed = compose.exists()
    try:
        yield
    except BaseException:
        if not existed:
            compose.undo(keep_volumes)
        raise


def swap(compose: Compose) -> None:
    """Replaces the app containers by new ones of the present settings, without a gap; keeps their number."""
    old = compose.containers("app")
    if compose.is_current("app", old):
        wait_for_app(compose, old)
        return
    stopped = set(compose.containers("app", everything=True)) - set(old)
    remove(list(stopped))
    scale = f"app={2 * len(old)}"
    try:
        compose.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", scale, "app")
        new = [one for one in compose.containers("app", everything=True) if one not in old]
        wait_for_app(compose, new)
    except BaseException:
        remove([one for one in compose.containers("app", everything=True) if one not in old])
        raise
    time.sleep(DNS_SECONDS)
    subprocess.run(["docker", "stop", *old], stdout=subprocess.DEVNULL, check=True)
    remove(old)


def remove(containers: list[str]) -> None:
    """Removes containers of this project, running or not."""
    if containers:
        subprocess.run(["docker", "rm", "--force", *containers], stdout=subprocess.DEVNULL, check=True)


def wait_for_app(compose: Compose, containers: list[str]) -> None:
    """Waits until every container's own health check passes; `Problem`, with the log, where one does not start."""
    until = time.monotonic() + READY_SECONDS
    for one in containers:
        while True:
            check = ["docker", "exec", one, "python3", "/srv/apps/healthcheck.py"]
            done = subprocess.run(check, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            restarts = compose.inspect(one, "{{.RestartCount}}")
            if time.monotonic() > until or restarts not in ("", "0"):
                print(compose.logs(one), file=sys.stderr)
                if restarts not in ("", "0"):
                    raise Problem("the app does not stay up: its log is above")
                said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
                raise Problem(f"the app was not ready within {READY_SECONDS} s ({said[0]}): its log is above")
            time.sleep(0.2)


def wait_for_health(compose: Compose, container: str) -> None:
    """Waits until a container's own health check passes: asked here, as Docker does so every ten seconds only."""
    check = json.loads(compose.inspect(container, "{{json .Config.Healthcheck.Test}}"))[1:]
    until = time.monotonic() + READY_SECONDS
    while engine.output("docker", "exec", container, *check) is None:
        restarts = compose.inspect(container, "{{.RestartCount}}")
        if time.monotonic() > until or restarts not in ("", "0"):
            print(compose.logs(container), file=sys.stderr)
            name = compose.inspect(container, f'{{{{index .Config.Labels "{LABEL}.service"}}}}')
            raise Problem(f"{name} did not become healthy: its log is above")
        time.sleep(0.2)


def authority(compose: Compose) -> str:
    """The local authority's certificate (PEM); "" where the site has a certificate of its own."""
    maker = next(iter(compose.containers("certs", everything=True)), None)
    if not maker:
        return ""
    copied = subprocess.run(["docker", "cp", f"{maker}:/certs/ca.pem", "-"], capture_output=True, check=False)
    if copied.returncode != 0:
        return ""
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as archive:
        return archive.extractfile("ca.pem").read().decode()  # type: ignore[union-attr]


def site_name(compose: Compose) -> str:
    """The first name of the site."""
    return compose.config["services"]["nginx"]["environment"]["DOMAIN"].split()[0]


def wait_for_proxies(compose: Compose, proxies: list[str], patience: float = READY_SECONDS) -> None:
    """Waits until a request gets through each proxy to the app and back, over verified TLS."""
    path = compose.config["services"]["app"]["environment"]["HEALTH_PATH"]
    name, pem = site_name(compose), authority(compose)
    until = time.monotonic() + patience
    for port in (
        port for port in compose.ports() if port.service in proxies and port.inside == 8443 and port.protocol == "tcp"
    ):
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(port.host, port.host)
        while True:
            said = ask(host, port.number, name, path, pem)
            if said == "200":
                break
            container = next(iter(compose.containers(port.service, everything=True)), "")
            if time.monotonic() > until or compose.inspect(container, "{{.RestartCount}}") not in ("", "0"):
                print(compose.logs(container), file=sys.stderr)
                raise Problem(
                    f"https://{name}:{port.number}{path} through {port.service} says: {said}; its log is above"
                )
            time.sleep(0.2)


def ask(host: str, port: int, name: str, path: str, pem: str) -> str:
    """The status of one GET, or what went wrong, in words."""
    context = ssl.create_default_context()
    if pem:
        context.load_verify_locations(cadata=pem)
    connection = http.client.HTTPSConnection(name, port, timeout=5)
    try:
        plain = socket.create_connection((host, port), timeout=5)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        connection.request("GET", path, headers={"Host": f"{name}:{port}"})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or repr(error)
    finally:
        connection.close()


def table(compose: Compose, choice: serve.Choice, proxies: list[str], more: list[str]) -> None:
    """Prints what runs and where it answers."""
    app = compose.containers("app")
    ask_version = f"from apps import serve; print(serve.version({choice.SERVER!r}), serve.python_version())"
    command = ["docker", "exec", app[0], "python3", "-c", ask_version]
    version, python = (engine.output(*command) or "? ?").split()
    name = site_name(compose)
    rows = [
        ("server", f"{choice.SERVER} {version}" if version != python else f"{choice.SERVER} of Python {python}"),
        ("interface", choice.INTERFACE),
        ("app", choice.APP),
        ("workers", f"{choice.WORKERS}" + (f" in each of {len(app)} containers" if len(app) > 1 else "")),
    ]
    for proxy in proxies:
        https, http_ = ({p.inside: p.number for p in compose.ports() if p.service == proxy}[n] for n in (8443, 8080))
        urls = (
            f"https://{name}{'' if https == 443 else f':{https}'}   http://{name}{'' if http_ == 80 else f':{http_}'}"
        )
        rows.append((proxy, urls))
    rows += [(name, "for the app") for name in more]
    bases = {name: compose.environment.get(f"{name.upper()}_IMAGE", "") for name in (*proxies, *more)}
    stand_ins = {name: f"   ({base})" for name, base in bases.items() if base.startswith("stack-base")}
    rows = [(label, value + stand_ins.get(label, "")) for label, value in rows]
    width = max(len(label) for label, _ in rows)
    print("\n".join(f"  {label:<{width}}  {value}" for label, value in rows))
    if authority(compose):
        print("  The certificate is from this stack's own authority: `make trust` says how to trust it.")


def down() -> None:
    """Removes this checkout's stack."""
    compose = Compose()
    if other := compose.owned_elsewhere():
        raise Problem(f"the stack named {compose.project} runs from {other}: run `make down` there")
    existed = compose.exists()
    compose.down()
    what = "removed the containers, networks and volumes of" if existed else "nothing runs of"
    print(f"down: {what} {compose.project}")


def ps() -> None:
    """Shows what runs: each container's state, and the settings of each app."""
    compose = Compose()
    rows = [("SERVICE", "STATUS", "WHAT")]
    for one in reversed(compose.containers()):
        template = (
            f'{{{{index .Config.Labels "{LABEL}.service"}}}}\t{{{{.State.Status}}}}, {{{{.State.Health.Status}}}}'
        )
        service, status = compose.inspect(one, template).split("\t")
        variables = dict(line.partition("=")[::2] for line in compose.inspect(one, ENVIRONMENT).splitlines())
        wanted = [variables.get(name, "") for name in ("SERVER", "INTERFACE", "APP")]
        ports = [f"{p.host}:{p.number}" for p in compose.ports() if p.service == service and p.protocol == "tcp"]
        rows.append((service, status, " ".join(ports or wanted)))
    print("\n".join(f"{service:<10}{status:<22}{what}" for service, status, what in rows))


def logs() -> None:
    """Follows the logs of all parts."""
    Compose().run("logs", "--follow", "--tail", "50", capture=False)


def trust() -> None:
    """Writes the local authority to ca.pem and says how to trust it."""
    compose = Compose()
    pem = authority(compose)
    https = [port.number for port in compose.ports() if port.inside == 8443 and compose.containers(port.service)]
    if not pem or not https:
        raise Problem("no proxy runs that has a local authority: run `make up` first")
    (ROOT / "ca.pem").write_text(pem)
    name = site_name(compose)
    resolve = "" if name == "localhost" else f"--resolve {name}:{https[0]}:127.0.0.1 "
    print(
        "Wrote ca.pem: the certificate of the authority that signed this stack's own (its key stays in the volume).\n"
        f"  one command      curl --cacert ca.pem {resolve}https://{name}:{https[0]}\n"
        '  Python           SSL_CERT_FILE=ca.pem, or verify="ca.pem" in requests and httpx\n'
        "  Debian, Ubuntu   sudo cp ca.pem /usr/local/share/ca-certificates/stack.crt && sudo update-ca-certificates\n"
        "  Fedora           sudo trust anchor ca.pem\n"
        "  macOS            security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db ca.pem\n"
        "  Windows          certutil -addstore Root ca.pem\n"
        "  Firefox          Settings, Certificates, Authorities, Import\n"
        "`make down` removes the authority with its volume; remove it from your trust store then, too."
    )
