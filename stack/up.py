"""`make up`: builds what is missing, starts or swaps, waits until a request gets through, and says what runs.

A swap starts the new app container beside the old one, waits until it answers and the proxies know it, and
then stops the old one, which finishes what it has (docs/decisions/0003-swap-by-overlap.md).
"""

import http.client
import io
import json
import re
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from apps import serve
from stack import ROOT, Problem, images
from stack.compose import LABEL, Compose

READY_SECONDS = 60
DNS_SECONDS = 2.5  # the proxies ask for the app's addresses every 2 s
SETTINGS = ("SERVER", "INTERFACE", "APP", "WORKERS", "THREADS", "KEEPALIVE", "GRACE")


def up(environ: Mapping[str, str]) -> None:
    """Does what `make up` promises, for the settings in `environ` and .env; `Problem` where it cannot."""
    given = {**images.dotenv(), **{name: value for name, value in environ.items() if value}}
    try:
        choice = serve.choose({name: given.get(name, "") for name in SETTINGS})
    except serve.SettingsError as error:
        raise Problem(str(error)) from None
    compose = Compose(choice.environment() | images.ensure())
    limit = seconds(compose.config["services"]["app"]["stop_grace_period"])
    if limit <= choice.GRACE:
        raise Problem(
            f"GRACE={choice.GRACE} is not under the {limit} s after which a stop kills: give 1 to {limit - 1}"
        )
    proxies = named_proxies(compose, given.get("PROXY", ""))
    if other := compose.owned_elsewhere():
        raise Problem(
            f"a stack named {compose.project} runs from {other}: set COMPOSE_PROJECT_NAME=another-name in .env"
        )
    if port := compose.busy_port(proxies):
        knob = f"{port.service.upper()}_{'HTTP' if port.inside == 8080 else 'HTTPS'}_PORT"
        raise Problem(
            f"port {port.number} ({port.service}, {port.protocol}) on {port.host} is in use: "
            f"free it, or set {knob} to another"
        )
    build(compose)
    with undone_on_failure(compose):
        compose.run("up", "--detach", "--no-build", "certs", *proxies)
        if compose.containers("app"):
            swap(compose)
        else:
            compose.run("up", "--detach", "--no-build", "--no-deps", "app")
            wait_for_app(compose, compose.containers("app", everything=True))
        running = [name for name in compose.proxies() if compose.containers(name)]
        wait_for_proxies(compose, running)
    table(compose, choice, running)


def seconds(duration: str) -> int:
    """A duration as compose writes it (`1m30s`), in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def named_proxies(compose: Compose, named: str) -> list[str]:
    """The proxies to start: every one, or those that PROXY names."""
    known = compose.proxies()
    wanted = named.replace(",", " ").split() or known
    for name in wanted:
        if name not in known:
            raise Problem(f"PROXY={name} is not a proxy here: choose {', '.join(known)}")
    return wanted


def build(compose: Compose) -> None:
    """Builds the images that are missing, showing each step, or out of date, saying so if it takes a while."""
    if not all(images.exists(service["image"]) for service in compose.config["services"].values()):
        print("up: building the images (half a minute the first time, longer on a slow network)", flush=True)
        compose.run("build", capture=False)
        return
    notice = threading.Timer(4, print, ["up: rebuilding what has changed"], {"flush": True})
    notice.start()
    try:
        compose.run("build", "--quiet")
    finally:
        notice.cancel()


@contextmanager
def undone_on_failure(compose: Compose) -> Iterator[None]:
    """A first start that fails or is interrupted leaves nothing; a later one leaves what ran before."""
    existed = compose.exists()
    try:
        yield
    except BaseException:
        if not existed:
            compose.undo()
        raise


def swap(compose: Compose) -> None:
    """Replaces the app containers by new ones of the present settings, without a gap; keeps their number."""
    old = compose.containers("app")
    wanted = compose.run("config", "--hash", "app").split()[1]
    image = compose.inspect(compose.config["services"]["app"]["image"], "{{.Id}}")
    template = f'{{{{index .Config.Labels "{LABEL}.config-hash"}}}} {{{{.Image}}}}'
    if all(compose.inspect(one, template) == f"{wanted} {image}" for one in old):
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
    """Removes app containers of this project, running or not."""
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
                state = "does not stay up" if restarts not in ("", "0") else f"did not answer within {READY_SECONDS} s"
                raise Problem(f"the app {state}: its log is above")
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


def wait_for_proxies(compose: Compose, proxies: list[str]) -> None:
    """Waits until a request gets through each proxy to the app and back, over verified TLS."""
    path = compose.config["services"]["app"]["environment"]["HEALTH_PATH"]
    name, pem = site_name(compose), authority(compose)
    until = time.monotonic() + READY_SECONDS
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


def table(compose: Compose, choice: serve.Choice, proxies: list[str]) -> None:
    """Prints what runs and where it answers."""
    app = compose.containers("app")
    ask_version = (
        "import json; from apps import work; print(json.dumps([work.server_version(%r), work.python_version()]))"
    )
    command = ["docker", "exec", app[0], "python3", "-c", ask_version % choice.SERVER]
    version, python = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    name = site_name(compose)
    bases = compose.environment
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
        base = bases.get(f"{proxy.upper()}_IMAGE", "")
        rows.append((proxy, urls + (f"   ({base})" if base.startswith("stack-base") else "")))
    width = max(len(label) for label, _ in rows)
    print("\n".join(f"  {label:<{width}}  {value}" for label, value in rows))
    if authority(compose):
        print("  The certificate is from this stack's own authority: `make trust` says how to trust it.")


def down() -> None:
    """Removes this checkout's stack."""
    compose = Compose()
    if other := compose.owned_elsewhere():
        raise Problem(f"the stack named {compose.project} runs from {other}: run `make down` there")
    compose.down()


def ps() -> None:
    """Shows this stack's containers."""
    Compose().run("ps", "--all", "--format", "table {{.Service}}\t{{.Status}}\t{{.Ports}}", capture=False)


def logs() -> None:
    """Follows the logs of all parts."""
    Compose().run("logs", "--follow", "--tail", "50", capture=False)


def trust() -> None:
    """Writes the local authority to ca.pem and says how to trust it."""
    compose = Compose()
    pem = authority(compose)
    if not pem:
        raise Problem("no proxy runs that has a local authority: run `make up` first")
    (ROOT / "ca.pem").write_text(pem)
    https = next(port.number for port in compose.ports() if port.inside == 8443)
    print(
        "Wrote ca.pem: the certificate of the authority that signed this stack's own (its key stays in the volume).\n"
        f"  one command      curl --cacert ca.pem https://{site_name(compose)}:{https}\n"
        '  Python           SSL_CERT_FILE=ca.pem, or verify="ca.pem" in requests and httpx\n'
        "  Debian, Ubuntu   sudo cp ca.pem /usr/local/share/ca-certificates/stack.crt && sudo update-ca-certificates\n"
        "  Fedora           sudo trust anchor ca.pem\n"
        "  macOS            security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db ca.pem\n"
        "  Windows          certutil -addstore Root ca.pem\n"
        "  Firefox          Settings, Certificates, Authorities, Import\n"
        "`make down` removes the authority with its volume; remove it from your trust store then, too."
    )
