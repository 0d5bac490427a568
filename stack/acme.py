"""Certificates from an ACME server: what the settings have to be, and whether the service `acme` gets them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack import ROOT, Problem
from stack.compose import Compose
from stack.ports import HTTP, HTTPS, published_number


def check(settings: Mapping[str, str], compose: Compose, proxies: Sequence[str]) -> bool:
    """Whether the service `acme` is to run. `Problem` where no ACME server could ask for the site's names.

    Without ACME_EMAIL, or with Caddy alone, which has a client of its own, the service is not needed.
    """
    name, email = "ACME_EMAIL", settings.get("ACME_EMAIL", "")
    if "caddy" in proxies and "@" in settings.get("CADDY_TLS", ""):
        name, email = "CADDY_TLS", settings["CADDY_TLS"]
    if not email:
        return False
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", email):
        raise Problem(f"{name}={email} is not an e-mail address: give one, such as you@example.org")
    check_server(settings)
    if name == "ACME_EMAIL" and settings.get("CERTS", "certs") != "certs":
        raise Problem("ACME_EMAIL and CERTS exclude each other: the certificate comes from a server or from a folder")
    check_names(name, settings)
    if len(proxies) != 1 and name == "ACME_EMAIL":
        raise Problem(f"{name} needs port 80, which one proxy only can have: give PROXY={proxies[0]}")
    check_ports(name, settings, compose, "caddy" if name == "CADDY_TLS" else proxies[0])
    return name == "ACME_EMAIL" and proxies[0] != "caddy"


def check_server(settings: Mapping[str, str]) -> None:
    """Refuses what is no address of an ACME server, or no file with its authority."""
    directory, authority = settings.get("ACME_DIRECTORY", ""), settings.get("ACME_CA", "")
    if directory and not re.fullmatch(r"https://[^\s/\"'{}]+(/[^\s\"'{}]*)?", directory):
        raise Problem(f"ACME_DIRECTORY={directory} is not the address of an ACME server: begin it with https://")
    if authority and not (authority.startswith(("/", "./", "../")) and (ROOT / authority).is_file()):
        raise Problem(f"ACME_CA={authority} is not a file: give the path of a PEM file, beginning with / or ./")


def check_names(name: str, settings: Mapping[str, str]) -> None:
    """Refuses names for which no ACME server signs. A company's own server also knows names without a dot."""
    for host in settings.get("DOMAIN", "localhost").split():
        is_address = not re.search(r"[^0-9.]", host)
        if is_address or not (settings.get("ACME_DIRECTORY") or "." in host):
            raise Problem(f"{name} needs public names: DOMAIN holds {host}")


def check_ports(name: str, settings: Mapping[str, str], compose: Compose, proxy: str) -> None:
    """Refuses ports at which no ACME server asks. Behind a load balancer, its ports count (TRUSTED_PROXIES)."""
    if settings.get("TRUSTED_PROXIES"):
        return
    for label, inside, number in (("HTTP_PORT", HTTP, 80), ("HTTPS_PORT", HTTPS, 443)):
        if (present := published_number(compose, proxy, inside)) != number:
            setting = f"{proxy.upper()}_{label}"
            raise Problem(f"{name} needs port {number}, where the ACME server asks: {setting} is {present}")
    if (bind := settings.get("BIND", "127.0.0.1")).startswith("127."):
        raise Problem(f"{name} needs an address that the ACME server reaches: BIND is {bind}")


def read_authority(settings: Mapping[str, str]) -> str:
    """The authority of a company's ACME server (PEM), which often signs the certificates too."""
    path: str = settings.get("ACME_CA", "")
    return (ROOT / Path(path)).read_text() if path and (ROOT / path).is_file() else ""
