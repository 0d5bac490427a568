"""The part of `make lint` that needs the built images: each proxy checks its own configuration.

The check reads the files in the image. It uses certificates of its own, in a volume that is removed at the end.
"""

import subprocess
import uuid
from collections.abc import Mapping
from typing import Any

from stack import ROOT, Problem
from stack.compose import Compose

CERTS_GROUP = "10100"  # may read the private key
NGINX_DUMP = ROOT / ".cache/nginx-T.conf"


def main() -> None:
    """Runs every check; `Problem` names the first that fails, after its output."""
    compose = Compose()
    compose.run("config", "--quiet")
    print("lint: compose.yaml is valid")
    images = {name: service["image"] for name, service in compose.services.items()}
    volume = f"stack-lint-{uuid.uuid4().hex[:8]}"
    mounts = ["--volume", f"{volume}:/certs", "--tmpfs", "/tmp:mode=1777"]  # noqa: S108 - in the container
    run = [*docker_run(read_environment(compose)), *mounts]
    proxies = {name: [*run, *list_writable(compose.services[name]), images[name]] for name in compose.proxies()}
    try:
        check("certificates can be made", *run, images["certs"])
        for name, command in proxies.items():
            check(f"{name} accepts its configuration", *command, *compose.check_command(name))
        nginx_configuration = check("", *proxies["nginx"], "-T")
        for path in [ROOT / "caddy/Caddyfile", *sorted((ROOT / "caddy/snippets").rglob("*.caddy"))]:
            check("", *proxies["caddy"], "fmt", "--diff", f"/etc/caddy/{path.relative_to(ROOT / 'caddy')}")
        print("lint: every Caddy file is formatted")
    finally:
        subprocess.run(["docker", "volume", "rm", "--force", volume], capture_output=True, check=False)
    NGINX_DUMP.parent.mkdir(exist_ok=True)
    NGINX_DUMP.write_text(nginx_configuration)
    check("gixy finds no weakness in the NGINX configuration", str(ROOT / ".venv/bin/gixy"), str(NGINX_DUMP))


def read_environment(compose: Compose) -> dict[str, str]:
    """The environment of every proxy, for a site named localhost with certificates in /certs."""
    services = compose.services
    environment = {key: value for name in compose.proxies() for key, value in services[name]["environment"].items()}
    return environment | {"DOMAIN": "localhost", "CADDY_TLS": "/certs/fullchain.pem /certs/privkey.pem"}


def docker_run(environment: Mapping[str, str]) -> list[str]:
    """The start of a `docker run` command; `$$` is a dollar in Compose's own notation."""
    words = [word for pair in environment.items() for word in ("--env", "=".join(pair).replace("$$", "$"))]
    options = ["--rm", "--read-only", "--group-add", CERTS_GROUP, "--add-host", "app:127.0.0.1"]
    return ["docker", "run", *options, *words]


def list_writable(service: Mapping[str, Any]) -> list[str]:
    """Options for `docker run`: a service's tmpfs, and an anonymous volume for each of its volumes but /certs."""
    mounts = [mount for mount in service["tmpfs"] if not mount.startswith("/tmp:")]  # noqa: S108 - in the container
    volumes = [volume["target"] for volume in service["volumes"] if volume["type"] == "volume"]
    options = [("--tmpfs", mount) for mount in mounts]
    options += [("--volume", target) for target in volumes if target != "/certs"]
    return [word for option in options for word in option]


def check(result: str, *command: str) -> str:
    """Runs a command and returns its stdout. Prints `result` (unless empty) where it succeeds, else all its output."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        raise Problem(f"{result or ' '.join(command[-3:])}: no (see above)")
    if result:
        print(f"lint: {result}")
    return done.stdout
