"""Lets the proxies that run take a renewed certificate. Each reads the files once, and again on its signal."""

import ssl

from stack import Problem, engine
from stack.compose import Compose
from stack.one_request import read_certificate
from stack.ports import Port, list_sites
from stack.readiness import ask_there, read_file_of_certs, site_name
from stack.waiting import wait_until

RELOAD_SECONDS = 10
END = "-----END CERTIFICATE-----"
FILE = "/certs/fullchain.pem"


def reload_proxies(compose: Compose) -> list[str]:
    """Signals the running proxies that serve another certificate than the one in CERTS. Returns their names.

    The label `stack.reload` has the signal. `Problem` where a proxy goes on with the other certificate.
    """
    pem = read_file_of_certs(compose, "fullchain.pem")
    if not pem:
        return []
    own = ssl.PEM_cert_to_DER_cert(pem[: pem.index(END) + len(END)])  # its authority's may follow
    certificate = ssl.DER_cert_to_PEM_cert(own).strip()  # with the line ends of `read_served`
    reloaded = []
    for port in list_sites(compose):
        service = compose.services[port.service]
        if "stack.reload" not in service.get("labels", {}):
            continue
        if not service["environment"].get("CADDY_TLS", FILE).startswith(FILE):
            continue  # Caddy has a certificate of its own
        if read_served(compose, port) in ("", certificate):
            continue
        engine.output(
            "docker", "kill", "--signal", service["labels"]["stack.reload"], *compose.containers(port.service)
        )
        if not wait_until(lambda port=port: read_served(compose, port) == certificate, RELOAD_SECONDS):
            raise Problem(
                f"{port.service} does not take the renewed certificate: run `docker compose restart {port.service}`"
            )
        reloaded.append(port.service)
    return reloaded


def read_served(compose: Compose, port: Port) -> str:
    """The certificate (PEM) that a proxy serves for the site's first name; empty where none answers."""
    name = site_name(compose)
    if engine.is_local():
        return read_certificate(port.reached_at, port.number, name).strip()
    answer = ask_there(compose, next(iter(compose.containers(port.service)), ""), name)
    return answer if answer.endswith(END) else ""
