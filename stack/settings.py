"""What the user asks for, on the command line and in .env, checked as a whole before anything is changed."""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from apps.runtime import serve
from stack import ROOT, Problem, acme, dotenv, images, own_app
from stack.compose import Compose

# Variables on make's command line that are no setting of a deployment. `make bench` reads the first ones.
FOR_BENCH = {
    *("SERVERS", "INTERFACES", "APPS", "PROXIES", "SCENARIOS", "ROUNDS", "RATE", "HTTP", "MODES"),
    *("SLOWDOWN", "QUICK", "FULL", "RUN"),
}
FOR_MAKE = FOR_BENCH | {
    "PYTHON",
    "PYTEST_ARGS",
    "FAST",
    "UPGRADE",
    "ONLY",
    "PINS",
    "A",
    "B",
    "UI_PORT",
    "YES",
    "CMD",
    "ID",
    "TO",
}

# The profiles of services that `make up` starts by other settings, in its own order.
OWN_PROFILES = {"acme", "assets", "processes"}


class Settings(NamedTuple):
    """Valid settings of a deployment.

    `choice`: the server. `proxies`: the proxies to run. `exclusive`: whether the user named them, so that others stop.
    `more`: the services to run beside the proxies and the app. `release`: APP_RELEASE. `has_assets`, `has_processes`:
    whether an own application has static files for the proxies, and commands beside the web process. `has_acme`:
    whether the service `acme` gets the certificate.
    """

    choice: serve.Choice
    compose: Compose
    proxies: list[str]
    exclusive: bool
    more: list[str]
    release: str = ""
    has_assets: bool = False
    has_processes: bool = False
    has_acme: bool = False

    @property
    def parts(self) -> list[str]:
        """The services that are asked for by name, each with a base image of its own."""
        return [*self.proxies, *self.more]

    @property
    def by_acme(self) -> bool:
        """Whether the certificate comes from an ACME server."""
        return self.has_acme or "@" in self.compose.services.get("caddy", {}).get("environment", {}).get(
            "CADDY_TLS", ""
        )


def read(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ` and .env; `Problem` names the first wrong one, and what would be right."""
    spelling(environ.get("MAKEFLAGS", ""))
    check_spelling_in_dotenv()
    settings = dotenv.overlay(environ)
    own = own_app.read(settings, settings.get("COMPOSE_PROJECT_NAME") or Compose().project)
    choice = read_choice(settings)
    check_addresses(settings)
    check_paths(settings)
    check_edge(settings)
    check_sites(settings)
    check_limits(settings)
    # The base images that the engine has. With another one, `make up` would read the configuration again.
    compose = Compose(images.find_present() | choice.environment() | {"APP_BASE": choice.base} | own)
    check_taken_paths(compose)
    check_grace(choice, compose)
    check_ipv6(settings, compose)
    check_pids(choice, compose)
    proxies = read_proxies(settings, compose)
    to_run = proxies or compose.default_proxies()
    return Settings(
        choice,
        compose,
        to_run,
        bool(proxies),
        read_more(settings, compose),
        settings.get("APP_RELEASE", ""),
        bool(own and settings.get("STATIC_DIR")),
        bool(settings.get("APP_PROCESSES")),
        acme.check(settings, compose, to_run),
    )


def spelling(makeflags: str, instead: Mapping[str, str] = MappingProxyType({})) -> None:
    """Refuses a variable on make's command line that is no setting, because a typo would look like success.

    `instead`: settings that the target does not read, with the settings that it reads in their place.
    """
    settings = dotenv.list_settings()
    for name in re.findall(r"(?:^|\s)(\w+)=", makeflags.partition("-- ")[2]):
        if name in instead:
            raise Problem(f"{name} is not read here: give {instead[name]}, one or several")
        if settings and name not in settings | FOR_MAKE:
            near = difflib.get_close_matches(name.upper(), settings | FOR_MAKE, 1)
            raise Problem(
                f"{name} is not a setting{f': did you mean {near[0]}?' if near else '; .env.example has them all'}; "
                "the application's own variables belong in app.env"
            )


def check_spelling_in_dotenv() -> None:
    """Refuses a name in .env that is nearly a setting's. Other names are allowed: the application may read them."""
    settings = dotenv.list_settings()
    for name in dotenv.read_names() - settings:
        if near := difflib.get_close_matches(name.upper(), settings, 1, 0.8):
            raise Problem(
                f"{name} in .env is not a setting: did you mean {near[0]}? "
                "The application's own variables belong in app.env"
            )


def read_choice(settings: Mapping[str, str]) -> serve.Choice:
    """The server, its interface and application, and how it runs."""
    names = [field.name for field in dataclasses.fields(serve.Choice)]
    try:
        return serve.choose({name: settings.get(name, "") for name in names})
    except serve.SettingsError as error:
        raise Problem(str(error)) from None


def check_addresses(settings: Mapping[str, str]) -> None:
    """Refuses what is no port or no host name."""
    for name in (name for name in settings if name.endswith("_PORT") and name in dotenv.list_settings()):
        if not (settings[name].isdigit() and 1 <= int(settings[name]) <= 65535):
            raise Problem(f"{name}={settings[name]} is not a port: give a number from 1 to 65535")
    if "[" in (bind := settings.get("BIND", "")):
        raise Problem(f"BIND={bind} has brackets: give the address alone, such as ::1")
    for name in settings.get("DOMAIN", "").split():
        if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
            raise Problem(f"DOMAIN holds {name}, which is not a host name: give names, separated by spaces")


def check_paths(settings: Mapping[str, str]) -> None:
    """Refuses what is no path of a URL, no folder of this machine, or no choice or tag of images."""
    if not re.fullmatch(r"\w[\w.-]{0,127}", tag := settings.get("TAG", "latest"), re.ASCII):
        raise Problem(f"TAG={tag} is not the tag of an image: give letters, digits and . _ -")
    if (stand_ins := settings.get("STAND_INS", "yes")) not in ("yes", "no"):
        raise Problem(f"STAND_INS={stand_ins} is not a choice: give yes or no")
    path = settings.get("HEALTH_PATH", "/")
    if not path.startswith("/"):
        raise Problem(f"HEALTH_PATH={path} is not a path: begin it with /")
    variables = settings.get("APP_ENV_FILE", "")
    if variables and not (ROOT / Path(variables).expanduser()).exists():
        raise Problem(f"APP_ENV_FILE={variables} is not a file: give one with NAME=value lines")
    certs = settings.get("CERTS", "")
    if certs.startswith(("/", ".", "~")) and not Path(certs).expanduser().is_dir():
        raise Problem(f"CERTS={certs} is not a folder: give one that holds fullchain.pem and privkey.pem")


def check_sites(settings: Mapping[str, str]) -> None:
    """Refuses other applications that no name leads to, and a proxy that cannot lead to them."""
    sites = settings.get("SITES", "").split()
    for site in sites:
        if not re.fullmatch(r"[A-Za-z0-9.-]+=[a-z0-9][a-z0-9_-]*", site):
            raise Problem(f"SITES holds {site}, which is not host=project: give such pairs, separated by spaces")
        if (name := site.partition("=")[0]) not in settings.get("DOMAIN", "").split():
            raise Problem(f"SITES holds {name}, which is not in DOMAIN: add it there")
    others = set(split_list(settings.get("PROXY", ""))) - {"nginx", "caddy"}
    if sites and others:
        raise Problem(f"SITES needs NGINX or Caddy: PROXY={','.join(sorted(others))} has one application")


def check_edge(settings: Mapping[str, str]) -> None:
    """Refuses an account, addresses or a rate with which a proxy would not start, or would refuse every client."""
    user, hashed = settings.get("ADMIN_USER", ""), settings.get("ADMIN_PASSWORD_HASH", "")
    if bool(user) != bool(hashed):
        raise Problem("ADMIN_USER and ADMIN_PASSWORD_HASH make one account: give both, or neither")
    if user and not re.fullmatch(r"[A-Za-z0-9._@-]+", user):
        raise Problem(f"ADMIN_USER={user} is not a name that can be used: give letters, digits and . _ @ -")
    if hashed and not re.fullmatch(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}", hashed):
        raise Problem(
            f"ADMIN_PASSWORD_HASH={hashed} is not a bcrypt hash: give one in single quotes (see .env.example)"
        )
    for name in ("ADMIN_ALLOW", "TRUSTED_PROXIES"):
        for network in settings.get(name, "").split():
            try:
                ip_network(network)
            except ValueError:
                raise Problem(
                    f"{name} holds {network}, which is not an address or network: "
                    "give some, such as 192.0.2.0/24, separated by spaces"
                ) from None
    rate = settings.get("LOGIN_RATE", "")
    if rate and not re.fullmatch(r"[1-9][0-9]{0,5}", rate):
        raise Problem(f"LOGIN_RATE={rate} is not a number of requests per second: give a whole number from 1 to 999999")
    for name, least in (("READ_TIMEOUT", 6), ("CLIENT_REQUESTS", 1)):
        value = settings.get(name, "")
        if value and not (re.fullmatch(r"[1-9][0-9]{0,5}", value) and int(value) >= least):
            raise Problem(f"{name}={value} is not a whole number from {least} to 999999")
    limit = settings.get("BODY_LIMIT", "")
    if limit and not re.fullmatch(r"[1-9][0-9]{0,2}", limit):
        raise Problem(f"BODY_LIMIT={limit} is not a number of MiB: give a whole number from 1 to 999")


def check_taken_paths(compose: Compose) -> None:
    """Refuses a path for the proxies that is no path, or that is inside another, where one request would be of both."""
    environment = compose.services[compose.proxies()[0]]["environment"]
    taken: list[str] = []
    for name in ("ADMIN_PATH", "CACHE_PATH", "STATIC_PATH", "MEDIA_PATH", "LOGIN_PATH"):
        path = environment[name]
        if not path:
            continue
        end = "/?" if name == "LOGIN_PATH" else "/"
        if not re.fullmatch(rf"(/\.?[A-Za-z0-9_-][A-Za-z0-9._-]*)+{end}", path):
            raise Problem(
                f"{name}={path} is not a path: begin and end it with /, and give letters, digits and . _ - between"
            )
        folder = path.rstrip("/").lower() + "/"
        for other in taken:
            if folder.startswith(other) or other.startswith(folder):
                raise Problem(f"{name}={path} and {other} are inside each other: give paths that are apart")
        taken.append(folder)


def check_ipv6(settings: Mapping[str, str], compose: Compose) -> None:
    """Refuses an IPv6 address where the network has none: every client would have the address of Docker's own proxy.

    (!) That address is private, so ADMIN_ALLOW would let everybody try a password, and all would share one LOGIN_RATE.
    """
    bind = settings.get("BIND", "")
    if ":" in bind and not compose.config["networks"]["edge"].get("enable_ipv6"):
        raise Problem(
            f"BIND={bind} is an IPv6 address, but the network edge has IPv4 only, so Docker would hide the addresses "
            "of clients: give an IPv4 address, or set enable_ipv6 for edge (docs/deploy.md)"
        )


def check_limits(settings: Mapping[str, str]) -> None:
    """Refuses a limit that is no number."""
    for name, pattern, allowed in (
        ("START_TIMEOUT", r"[1-9]\d{0,4}", "seconds, a whole number from 1"),
        ("APP_PIDS", r"[1-9]\d{0,6}", "a whole number from 1"),
        ("APP_CPUS", r"\d+(\.\d+)?", "a number of CPUs, such as 1.5, or 0 for no limit"),
    ):
        if (value := settings.get(name, "")) and not re.fullmatch(pattern, value):
            raise Problem(f"{name}={value} is not a limit that can be used: give {allowed}")


def check_pids(choice: serve.Choice, compose: Compose) -> None:
    """Refuses more workers and threads than the app's limit of processes allows."""
    if choice.WORKERS == serve.AUTO:  # counted in the container, which checks too
        return
    try:
        serve.check_pids(choice, choice.WORKERS, int(compose.services["app"]["pids_limit"]))
    except serve.SettingsError as error:
        raise Problem(str(error)) from None


def check_grace(choice: serve.Choice, compose: Compose) -> None:
    """Refuses a GRACE that Docker would cut short."""
    limit = to_seconds(compose.services["app"]["stop_grace_period"])
    if limit <= choice.GRACE:
        raise Problem(
            f"GRACE={choice.GRACE} is not under the {limit} s after which Docker kills: give 1 to {limit - 1}"
        )


def read_proxies(settings: Mapping[str, str], compose: Compose) -> list[str]:
    """The proxies that the user names; empty where there is no PROXY."""
    proxies = compose.proxies()
    names = split_list(settings.get("PROXY", ""))
    for name in names:
        if name not in proxies:
            raise Problem(f"PROXY={name} is not a proxy here: choose {', '.join(proxies)}")
    return names


def read_more(settings: Mapping[str, str], compose: Compose) -> list[str]:
    """The services beside the stack's own: those whose profiles the user asks for, and those without a profile."""
    profiles = compose.profiles()
    names = set(split_list(settings.get("COMPOSE_PROFILES", "")))
    allowed = {profile for service in profiles.values() for profile in service} - OWN_PROFILES | {"*"}
    for name in sorted(names - allowed):
        raise Problem(f"COMPOSE_PROFILES={name} is not a profile here: choose {', '.join(sorted(allowed))}")
    proxies = compose.proxies()
    others = [name for name in compose.services if name not in {*proxies, "app", "certs", *OWN_PROFILES}]
    more = [name for name in others if name not in profiles or names & {*profiles[name], "*"}]
    if "postgres" in more and not settings.get("POSTGRES_PASSWORD"):
        raise Problem("POSTGRES_PASSWORD is empty: give the database that COMPOSE_PROFILES asks for a password")
    return more


def split_list(text: str) -> list[str]:
    """The names in a text, separated by spaces or commas."""
    return text.replace(",", " ").split()


def to_seconds(duration: str) -> int:
    """A duration as Compose writes it (`1m30s`), in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
