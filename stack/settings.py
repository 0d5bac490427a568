"""What the user asks for, on the command line and in .env, checked as a whole before anything is touched."""

import difflib
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from apps import serve
from stack import ROOT, Problem, images
from stack.compose import Compose

CHOICE = ("SERVER", "INTERFACE", "APP", "WORKERS", "THREADS", "KEEPALIVE", "GRACE")
FOR_BENCH = {
    "SERVERS",
    "INTERFACES",
    "APPS",
    "PROXIES",
    "SCENARIOS",
    "ROUNDS",
    "RATE",
    "HTTP",
    "MODES",
    "SLOWDOWN",
    "QUICK",
    "FULL",
    "RUN",
}
FOR_MAKE = FOR_BENCH | {"PYTHON", "PYTEST_ARGS", "UPGRADE", "ONLY", "PINS", "A", "B", "UI_PORT"}


class Settings(NamedTuple):
    """Valid settings: the server, the proxies, whether other proxies are to stop (`exclusive`), and what else runs."""

    choice: serve.Choice
    compose: Compose
    proxies: list[str]
    exclusive: bool
    more: list[str]

    @property
    def parts(self) -> list[str]:
        """The services that are asked for by name, each with a base image of its own."""
        return [*self.proxies, *self.more]

    @property
    def by_acme(self) -> bool:
        """Whether Caddy gets its certificate from a public authority."""
        return "@" in self.compose.config["services"].get("caddy", {}).get("environment", {}).get("CADDY_TLS", "")


def knobs() -> set[str]:
    """Every setting there is: the lines of .env.example."""
    file = ROOT / ".env.example"
    return set(re.findall(r"^#([A-Z_]+)=", file.read_text(), re.MULTILINE)) if file.is_file() else set()


def read(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ` and .env; `Problem` names the first that is wrong, and what would be right."""
    spelling(environ.get("MAKEFLAGS", ""))
    for name in images.dotenv().keys() - knobs():  # .env may hold the user's own; a near miss is a typo
        if near := difflib.get_close_matches(name.upper(), knobs(), 1, 0.8):
            raise Problem(f"{name} in .env is not a setting: did you mean {near[0]}?")
    given = {**images.dotenv(), **{name: value for name, value in environ.items() if value}}
    try:
        choice = serve.choose({name: given.get(name, "") for name in CHOICE})
    except serve.SettingsError as error:
        raise Problem(str(error)) from None
    for name in (name for name in given if name.endswith("_PORT") and name in knobs()):
        if not (given[name].isdigit() and 1 <= int(given[name]) <= 65535):
            raise Problem(f"{name}={given[name]} is not a port: give a number from 1 to 65535")
    for name in given.get("DOMAIN", "").split():
        if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
            raise Problem(f"DOMAIN holds {name}, which is not a host name: give names, separated by spaces")
    path = given.get("HEALTH_PATH", "/")
    if not path.startswith("/"):
        raise Problem(f"HEALTH_PATH={path} is not a path: begin it with /")
    certs = given.get("CERTS", "")
    if certs.startswith(("/", ".", "~")) and not Path(certs).expanduser().is_dir():
        raise Problem(f"CERTS={certs} is not a folder: give one that holds fullchain.pem and privkey.pem")
    edge(given)
    compose = Compose(choice.environment() | {"APP_BASE": choice.base})
    limit = seconds(compose.config["services"]["app"]["stop_grace_period"])
    if limit <= choice.GRACE:
        raise Problem(
            f"GRACE={choice.GRACE} is not under the {limit} s after which Docker kills: give 1 to {limit - 1}"
        )
    known = compose.proxies()
    wanted = given.get("PROXY", "").replace(",", " ").split()
    for name in wanted:
        if name not in known:
            raise Problem(f"PROXY={name} is not a proxy here: choose {', '.join(known)}")
    return Settings(choice, compose, wanted or compose.default_proxies(), bool(wanted), others(given, compose))


def others(given: Mapping[str, str], compose: Compose) -> list[str]:
    """The services, beside the proxies, whose profile is asked for."""
    wanted = set(given.get("COMPOSE_PROFILES", "").replace(",", " ").split())
    known = {profile for profiles in compose.profiles().values() for profile in profiles} | {"*"}
    for name in sorted(wanted - known):
        raise Problem(f"COMPOSE_PROFILES={name} is not a profile here: choose {', '.join(sorted(known))}")
    proxies = compose.proxies()
    more = [name for name, profiles in compose.profiles().items() if name not in proxies and wanted & {*profiles, "*"}]
    if "postgres" in more and not given.get("POSTGRES_PASSWORD"):
        raise Problem("POSTGRES_PASSWORD is empty: give the database that COMPOSE_PROFILES asks for a password")
    return more


def edge(given: Mapping[str, str]) -> None:
    """Refuses an account, addresses or a rate that a proxy would not start with, or that would shut out everybody."""
    user, hashed = given.get("ADMIN_USER", ""), given.get("ADMIN_PASSWORD_HASH", "")
    if bool(user) != bool(hashed):
        raise Problem("ADMIN_USER and ADMIN_PASSWORD_HASH make one account: give both, or neither")
    if user and not re.fullmatch(r"[A-Za-z0-9._@-]+", user):
        raise Problem(f"ADMIN_USER={user} is not a name that can be used: give letters, digits and . _ @ -")
    if hashed and not re.fullmatch(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}", hashed):
        raise Problem(
            f"ADMIN_PASSWORD_HASH={hashed} is not a bcrypt hash: give one in single quotes (see .env.example)"
        )
    for network in given.get("ADMIN_ALLOW", "").split():
        try:
            ip_network(network)
        except ValueError:
            raise Problem(
                f"ADMIN_ALLOW holds {network}, which is not an address or network: give 192.0.2.0/24"
            ) from None
    rate = given.get("LOGIN_RATE", "")
    if rate and not re.fullmatch(r"[1-9][0-9]{0,5}", rate):
        raise Problem(f"LOGIN_RATE={rate} is not a number of requests per second: give a whole number from 1 to 999999")


def spelling(makeflags: str, instead: Mapping[str, str] = MappingProxyType({})) -> None:
    """Refuses a variable on make's command line that is no setting: a typo would look like success.

    `instead` has the settings of others that the target does not read, and what it reads in their place.
    """
    for name in re.findall(r"(?:^|\s)(\w+)=", makeflags.partition("-- ")[2]):
        if name in instead:
            raise Problem(f"{name} is not read here: give {instead[name]}, one or several")
        if knobs() and name not in knobs() | FOR_MAKE:
            near = difflib.get_close_matches(name.upper(), knobs() | FOR_MAKE, 1)
            raise Problem(
                f"{name} is not a setting{f': did you mean {near[0]}?' if near else '; .env.example has them all'}"
            )


def seconds(duration: str) -> int:
    """A duration as compose writes it (`1m30s`), in seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
