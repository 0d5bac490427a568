"""`make lint`'s part that needs the built images: each proxy judges its own configuration.

What is checked is what runs: the files in the image, with certificates made for the purpose and thrown away.
"""

import subprocess
import uuid
from pathlib import Path
from typing import Any

from stack import ROOT, Problem
from stack.compose import Compose


def lint() -> None:
    """Runs every check; `Problem` names the first that fails, with what it said above."""
    compose = Compose()
    compose.run("config", "--quiet")
    print("lint: compose.yaml is valid")
    services = compose.services
    image = {name: service["image"] for name, service in services.items()}
    volume = f"stack-lint-{uuid.uuid4().hex[:8]}"
    settings = {
        **{name: value for one in compose.proxies() for name, value in services[one]["environment"].items()},
        "DOMAIN": "localhost",
        "CADDY_TLS": "/certs/fullchain.pem /certs/privkey.pem",
    }
    environment = [word for pair in settings.items() for word in ("--env", "=".join(pair).replace("$$", "$"))]
    certs = ["--volume", f"{volume}:/certs", "--tmpfs", "/tmp:mode=1777"]  # noqa: S108 - in the container
    run = ["docker", "run", "--rm", "--read-only", "--group-add", "10100", "--add-host", "app:127.0.0.1", *environment]
    proxies = {name: [*run, *certs, *writable(compose.services[name]), image[name]] for name in compose.proxies()}
    try:
        must("certificates can be made", *run, *certs, image["certs"])
        for name, proxy in proxies.items():
            must(f"{name} accepts its configuration", *proxy, *compose.check_command(name))
        whole = must("", *proxies["nginx"], "-T")
        for file in [
            "Caddyfile",
            *(str(path.relative_to(ROOT / "caddy")) for path in sorted((ROOT / "caddy/snippets").rglob("*.caddy"))),
        ]:
            must("", *proxies["caddy"], "fmt", "--diff", f"/etc/caddy/{file}")
        print("lint: every Caddy file is formatted")
    finally:
        subprocess.run(["docker", "volume", "rm", "--force", volume], capture_output=True, check=False)
    dump = ROOT / ".cache/nginx-T.conf"
    dump.parent.mkdir(exist_ok=True)
    dump.write_text(whole)
    must("gixy finds no weakness in the NGINX configuration", str(ROOT / ".venv/bin/gixy"), str(dump))


def writable(service: dict[str, Any]) -> list[str]:
    """What a service may write, for `docker run`: its tmpfs, and volumes that are thrown away."""
    volumes = [one["target"] for one in service["volumes"] if one["type"] == "volume" and one["target"] != "/certs"]
    options = [("--tmpfs", one) for one in service["tmpfs"] if not one.startswith("/tmp:")]  # noqa: S108
    return [word for pair in [*options, *(("--volume", one) for one in volumes)] for word in pair]


def must(what: str, *command: str) -> str:
    """Runs a check; what it printed on stdout, or `Problem` after showing everything."""
    done = subprocess.run(command, cwd=Path(ROOT), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        raise Problem(f"{what or ' '.join(command[-3:])}: no (see above)")
    if what:
        print(f"lint: {what}")
    return done.stdout
