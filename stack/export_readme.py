"""The texts of an exported folder that are about the choice: its README, and the first lines of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stack.ports import HTTPS, published_number
from stack.readiness import site_name

if TYPE_CHECKING:
    from stack.export_files import Deployment

NAMES = {"nginx": "NGINX", "caddy": "Caddy", "apache": "Apache", "traefik": "Traefik", "haproxy": "HAProxy"}
DOCKERFILE_HEAD = """\
# The application's image: the project and one server. `./roll` builds it, with the project's folder as its context.
# Dockerfile.dockerignore beside this file says what of the project stays outside.
"""
SETTINGS_HEAD = """\
# The settings of this deployment. Copy this file to .env and fill in what is secret. A line with # shows the default.

"""


def join(names: list[str]) -> str:
    """Names in words."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def describe_compose(deployment: Deployment) -> str:
    """The first lines of compose.yaml."""
    proxies = deployment.plan.proxies
    database = " ── data ──> postgres" if "postgres" in deployment.services else ""
    return (
        f"# {deployment.name}: {join([NAMES[name] for name in proxies])} in front of {deployment.choice.SERVER}.\n#\n"
        f"#   client ── edge ──> {', '.join(proxies)} ── backend ──> app{database}\n#\n"
        "# .env.example explains every setting. README.md says how to start, change and back up.\n"
    )


def write(deployment: Deployment) -> str:
    """README.md: what runs, the first start, and the commands of every day."""
    choice, proxies, site = deployment.choice, deployment.plan.proxies, site_name(deployment.plan.compose)
    rows = [
        ("app", f"`{choice.APP}` on {choice.SERVER}"),
        *((name, f"{NAMES[name]}: https://{site}:{find_port(deployment, name)}") for name in proxies),
        *([("postgres", "PostgreSQL; the app finds it in `DATABASE_URL`")] if "postgres" in deployment.services else []),
        *([("processes", "the commands of `APP_PROCESSES`")] if "processes" in deployment.services else []),
        *([("assets", "copies the static files to the proxies before a version takes traffic")] if "assets" in deployment.services else []),
        ("certs", "makes a local authority and its certificate, unless `CERTS` names a folder with yours"),
    ]
    table = "\n".join(f"| `{name}` | {text} |" for name, text in rows)
    return f"""\
# {deployment.name}

The project in `{deployment.read_context()}`, as containers. It needs Docker with Compose and a shell, and nothing else.

| service | what it is |
|---|---|
{table}

## First start

```sh
./roll
```

The site answers at https://{site}:{find_port(deployment, proxies[0])}, by default on this machine only. `docker compose cp {proxies[0]}:/certs/ca.pem .` gets the
certificate of its local authority. For the public: set in `.env` `BIND=0.0.0.0`, `DOMAIN=www.example.com`, `{proxies[0].upper()}_HTTP_PORT=80`,
`{proxies[0].upper()}_HTTPS_PORT=443` and `CERTS`, then `./roll`. On another host: clone the project, `cp .env.example .env`, fill in what
is empty, `./roll`.

## Every day

| to | run |
|---|---|
| put the project's present code in the place of the running version, without a lost request | `./roll` |
| go back, without a build | `./roll --list`, `./roll --to TAG` |
| run a command in the app's image, variables and network | `./run {example(deployment)}` |
| follow the logs; see one request (its `X-Request-ID`) | `./logs`, `./logs ID` |
| back up {data(deployment)} while it serves | `./backup FOLDER` |
| put a backup back | `./restore FOLDER/…` |
| see what runs; stop it (the data stay) | `docker compose ps`, `docker compose down` |

A roll that fails leaves the old version: the new one must answer the health check first ({health(deployment)}).

## Where a change goes

| to change | file |
|---|---|
| ports, names, limits, what runs before a release | `.env` (explained in `.env.example`), then `./roll` |
| the application's own variables and secrets | `app.env`, then `./roll` |
| the server's flags | `apps/servers/` |
| what the proxy does with a request | {", ".join(f"`{name}/snippets/`" for name in proxies)}: one concern a file |
| packages of the application | the project's own files; `requirements.txt` here keeps the other releases where they are |
| services, memory, volumes | `compose.yaml` |

Each file says why a value is as it is, and with `(!)` what breaks otherwise. `.env` and `app.env` hold secrets: `.gitignore` keeps
them out of Git.
"""


def find_port(deployment: Deployment, proxy: str) -> int:
    """The port of a proxy on the host."""
    return published_number(deployment.plan.compose, proxy, HTTPS)


def example(deployment: Deployment) -> str:
    """A command for ./run that fits the application."""
    return "python manage.py createsuperuser" if (deployment.context / "manage.py").is_file() else "python --version"


def data(deployment: Deployment) -> str:
    """What a backup holds, in words."""
    return "the database and the volumes" if "postgres" in deployment.services else "the volumes"


def health(deployment: Deployment) -> str:
    """What the health check wants, in words."""
    path = deployment.plan.compose.services["app"]["environment"]["HEALTH_PATH"]
    return f"200 of `{path}`" if path else "any answer of `/` under 500"
