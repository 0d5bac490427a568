"""The short commands of `make`: down, destroy, ps, logs, trust, images, clean. `make up` has its own file: up.py."""

import os
import subprocess
import sys

from stack import CHECKOUT, ROOT, Problem, engine, export, images, settings
from stack.build import remove_images
from stack.compose import LABEL, Compose
from stack.lock import hold_lock
from stack.ports import HTTPS, list_ports
from stack.readiness import passes_check, read_authority, site_name
from stack.running_stack import RunningStack

ENVIRONMENT = "{{range .Config.Env}}{{println .}}{{end}}"


def down() -> None:
    """`make down`: removes this checkout's containers and networks. The volumes, with all data, stay."""
    with hold_lock():
        compose = read_own_project("down")
        existed = compose.exists(but_volumes=compose.volumes())
        RunningStack(compose).remove(keep_volumes=True)
    result = "removed the containers and networks of" if existed else "nothing runs of"
    volumes = "; its volumes stay (`make destroy` removes them)" if compose.volumes() else ""
    print(f"down: {result} {compose.project}{volumes}")


def destroy() -> None:
    """`make destroy`: removes this checkout's stack with its volumes, after a question; YES=1 answers it."""
    with hold_lock():
        compose = read_own_project("destroy")
        volumes = [volume.removeprefix(f"{compose.project}_") for volume in compose.volumes()]
        if volumes and os.environ.get("YES") != "1":
            confirm(compose.project, f"This removes {compose.project} with its data: the volumes {', '.join(volumes)}.")
        existed = compose.exists()
        RunningStack(compose).remove()
    result = "removed the containers, networks and volumes of" if existed else "nothing is there of"
    print(f"destroy: {result} {compose.project}")


def read_own_project(target: str) -> Compose:
    """This checkout's project, to be removed; `Problem` where it is another's, or works for the user at the moment."""
    compose = Compose()
    if other := compose.owned_elsewhere():
        raise Problem(f"the stack named {compose.project} runs from {other}: run `make {target}` there")
    if one_offs := compose.containers(one_offs=True):
        names = " ".join(compose.inspect(container, "{{.Name}}").lstrip("/") for container in one_offs)
        raise Problem(f"a command of `docker compose run` is at work: wait for it, or run `docker stop {names}`")
    return compose


def confirm(project: str, question: str) -> None:
    """Asks for the project's name; `Problem` on any other answer, and where nobody can answer."""
    if not sys.stdin.isatty():
        raise Problem(f"nothing was removed: confirm with `make destroy YES=1` that the data of {project} goes")
    print(question)
    try:
        answer = input(f"Type {project} to go on: ")
    except EOFError:
        answer = ""
    if answer.strip() != project:
        raise Problem("nothing was removed")


def ps() -> None:
    """`make ps`: each container's state, with its ports, or with the settings of an app."""
    compose = Compose()
    rows = [("SERVICE", "STATUS", "WHAT")]
    template = f'{{{{index .Config.Labels "{LABEL}.service"}}}}\t{{{{.State.Status}}}}'
    template += "{{if .State.Health}}, {{.State.Health.Status}}{{end}}"
    for container in reversed(compose.containers()):
        service, status = compose.inspect(container, template).split("\t")
        if status == "running, starting" and passes_check(compose, container):
            status = "running, healthy"  # Docker asks every ten seconds only
        ports = [port for port in list_ports(compose) if (port.service, port.protocol) == (service, "tcp")]
        addresses = [f"{port.host}:{port.number}" for port in ports]
        rows.append((service, status, " ".join(addresses or read_choice(compose, container))))
    print("\n".join(f"{service:<10}{status:<22}{what}" for service, status, what in rows))


def read_choice(compose: Compose, container: str) -> list[str]:
    """The server, interface and application of an app's container."""
    variables = dict(line.partition("=")[::2] for line in compose.inspect(container, ENVIRONMENT).splitlines())
    names = ["APP_PROCESSES"] if variables.get("APP_PROCESSES") else ["SERVER", "INTERFACE", "APP"]
    return [variables.get(name, "") for name in names]


def run() -> None:
    """`make run CMD="…"`: a command in a container of its own, with the application's image, variables and volumes."""
    command = os.environ.get("CMD", "").strip()
    if not command:
        raise Problem('CMD is empty: give a command, such as make run CMD="python manage.py migrate"')
    export.recall()  # (!) without the settings of `make up`, the command would run with another environment
    compose = settings.read(os.environ).compose
    if not images.exists(compose.image("app")):
        raise Problem(f"{compose.image('app')} is not built yet: run `make up` first")
    terminal = [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
    words = ["docker", "compose", "run", "--rm", "--no-deps", *terminal, "app"]
    words += ["python3", "-m", "app_runtime.command", "sh", "-euc", command]
    status = subprocess.run(words, cwd=ROOT, env={**compose.environment}, check=False).returncode
    if status != 0:
        sys.exit(status)


def logs() -> None:
    """`make logs`: follows the logs of all parts; `ID=…` shows the lines of one request, the oldest first."""
    command = ["sh", "deploy/logs", *os.environ.get("ID", "").split()[:1]]
    status = subprocess.run(command, cwd=ROOT, env={**Compose().environment}, check=False).returncode
    if status == 1:
        sys.exit(1)


def trust() -> None:
    """`make trust`: writes the certificate of the local authority to ca.pem, and says how to trust it."""
    compose = Compose()
    pem = read_authority(compose)
    https = [port.number for port in list_ports(compose) if port.inside == HTTPS and compose.containers(port.service)]
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
        "`make destroy` removes the authority with its volume. Remove it from your trust store then, too."
    )


def choose_images() -> None:
    """`make images`: chooses the base images of `make up` again, and prints them."""
    for argument, image in images.ensure(settings.read(os.environ).parts, anew=True).items():
        print(f"images: {argument}={image}")


def clean() -> None:
    """`make clean`: removes the images that this checkout built, unless a container uses them."""
    if engine.find_missing():
        return
    count, left = map(sum, zip(remove_images(Compose().project), remove_images(CHECKOUT), strict=True))
    print(f"clean: {count - left} images removed" + (f"; {left} are in use: `make down` first" if left else ""))
