"""The texts of an exported folder that are about the choice: its README, and the first lines of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stack.ports import HTTPS, published_number
from stack.readiness import site_name

if TYPE_CHECKING:
    from stack.export_files import Deployment

NAMES = {"nginx": "NGINX", "caddy": "Caddy", "apache": "Apache", "traefik": "Traefik", "haproxy": "HAProxy"}
OTHERS = {
    "acme": "gets the certificate from Let's Encrypt, once `ACME_EMAIL` says so",
    "postgres": "PostgreSQL. The app finds it by `DATABASE_URL`, and by PGHOST and the like",
    "processes": "the commands of `APP_PROCESSES`, from the same image",
    "assets": "copies the static files of a version to where the proxies serve them, and ends",
    "certs": "makes a certificate by an authority of its own, unless `CERTS` names a folder with yours, and ends",
}
DOCKERFILE_HEAD = """\
# The application's image: the project and one server. `./roll` builds it, with the project's folder as its context.
# Dockerfile.dockerignore beside this file says what of the project stays outside.
"""
SETTINGS_HEAD = """\
# The settings of this deployment. Copy this file to .env, and fill in what is secret. A line with # shows the default.

"""
README = """\
# {name}

`{app}` on {server}, behind {proxies}. This folder needs Docker with Compose, and a shell.
`./roll` builds the image from the project in `{context}`.

| service | what it is |
|---|---|
{services}

## First start

```sh
./roll
{trust}
```

On the internet: in `.env`, set `DOMAIN=www.example.com`, `BIND=0.0.0.0`, `{proxy_name}_HTTP_PORT=80` and
`{proxy_name}_HTTPS_PORT=443`, and for the certificate {certificate}. Then `./roll`.

On another host: copy the project with this folder, `cp .env.example .env`, fill in what is empty, and `./roll`.

## Each day

| to | run |
|---|---|
{commands}

The new version gets the requests when it is ready: {health}.
Until then, and where something fails, the old version serves.

## Where a change goes

| of | to |
|---|---|
| ports, names, limits, `APP_RELEASE` | `.env`: `.env.example` explains each line |
| the application's own variables and secrets | `app.env`, lines of NAME=value |
| the application's packages | its own files. `requirements.txt` here keeps the releases that still fit |
| the server's flags | `apps/servers/` |
| what the proxy does with a request | {snippets}, one concern a file |
| services, memory, volumes, networks | `compose.yaml` |

Then `./roll`. A comment says why a value is as it is, and behind `(!)` what breaks otherwise.
`.gitignore` keeps `.env` and `app.env` out of Git, because they hold what is secret.
"""


def join(names: list[str]) -> str:
    """Names in words."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def describe_compose(deployment: Deployment) -> str:
    """The first lines of compose.yaml."""
    proxies = deployment.plan.proxies
    database = " ── data ──> postgres" if "postgres" in deployment.services else ""
    return (
        f"# {deployment.name}: {deployment.choice.SERVER} behind {join([NAMES[name] for name in proxies])}.\n#\n"
        f"#   client ── edge ──> {', '.join(proxies)} ── backend ──> app{database}\n#\n"
        "# .env.example explains every setting. README.md says how to start, change and back up.\n"
    )


def write(deployment: Deployment) -> str:
    """README.md: what runs, the first start, the commands of each day, and where a change goes."""
    compose, proxies = deployment.plan.compose, deployment.plan.proxies
    urls = [f"https://{site_name(compose)}:{published_number(compose, name, HTTPS)}/" for name in proxies]
    services = [(name, f"{NAMES[name]}: {url}") for name, url in zip(proxies, urls, strict=True)]
    services += [(name, text) for name, text in OTHERS.items() if name in deployment.services]
    has_own = deployment.plan.by_acme or "CERTS" in deployment.given
    acme = ["`ACME_EMAIL=you@example.com`" + (" and `COMPOSE_PROFILES=acme`" if deployment.may_need_acme() else "")]
    folder = "`CERTS`, a folder with fullchain.pem and privkey.pem"
    path = compose.services["app"]["environment"]["HEALTH_PATH"]
    return README.format(
        name=deployment.name,
        app=deployment.choice.APP,
        server=deployment.choice.SERVER,
        context=deployment.read_context(),
        proxies=join([NAMES[name] for name in proxies]),
        proxy_name=proxies[0].upper(),
        trust=f"curl {urls[0]}"
        if has_own
        else f"docker compose cp {proxies[0]}:/certs/ca.pem .\ncurl --cacert ca.pem {urls[0]}",
        services="\n".join(f"| `{name}` | {text} |" for name, text in services),
        certificate=" or ".join([*(acme if len(proxies) == 1 else []), folder]),
        commands="\n".join(f"| {what} | {command} |" for what, command in list_commands(deployment)),
        health=f"`{path}` answers 200" if path else "any answer of `/` under 500",
        snippets=" and ".join(f"`{name}/snippets/`" for name in proxies),
    )


def list_commands(deployment: Deployment) -> list[tuple[str, str]]:
    """What the user does each day, and the command for it; as far as there is a script."""
    has_django = (deployment.context / "manage.py").is_file()
    data = "the database and the volumes" if "postgres" in deployment.services else "the volumes"
    scripts = {file.name for file in deployment.list_commands()}
    rows = [
        ("roll", "put the project's present code in the place of the old version, without a lost request", "`./roll`"),
        ("roll", "go back to an image that is there", "`./roll --list`, `./roll --to TAG`"),
        ("run", "run a command", f"`./run python {'manage.py createsuperuser' if has_django else '--version'}`"),
        ("logs", "follow the logs; show the lines of one request (its X-Request-ID)", "`./logs`, `./logs ID`"),
        ("backup", f"back up {data} while the application serves", "`./backup ~/backups`"),
        ("restore", "put a backup back", "`./restore ~/backups/NAME`"),
        ("rotate", "give PostgreSQL a new password", "`./rotate`"),
        ("", "see what runs; stop it, which keeps the data", "`docker compose ps`, `docker compose down`"),
    ]
    return [(what, command) for script, what, command in rows if not script or script in scripts]
