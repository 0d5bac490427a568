"""Lets the proxies that run take a renewed certificate. Each reads the files once, and again on its signal."""

import socket
import ssl

from stack import Problem, engine
from stack.compose import Compose
from stack.ports import Port, list_sites
from stack.readiness import read_file_of_certs, site_name
from stack.waiting import wait_until

RELOAD_SECONDS = 10
FILE = "/certs/fullchain.pem"


def reload_proxies(compose: Compose) -> list[str]:
    """Signals the running proxies that serve another certificate than the one in CERTS. Returns their names.

    The label `stack.reload` has the signal. `Problem` where a proxy goes on with the other certificate.
    """
    pem = read_file_of_certs(compose, "fullchain.pem")
    if not pem:
        return []
    end = "-----END CERTIFICATE-----"
    certificate = ssl.PEM_cert_to_DER_cert(pem[: pem.index(end) + len(end)])
    reloaded = []
    for port in list_sites(compose):
        service = compose.services[port.service]
        if "stack.reload" not in service.get("labels", {}):
            continue
        if not service["environment"].get("CADDY_TLS", FILE).startswith(FILE):
            continue  # Caddy has a certificate of its own
        if read_served(compose, port) in (b"", certificate):
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


def read_served(compose: Compose, port: Port) -> bytes:
    """The certificate (DER) that a proxy serves for the site's first name; empty where none answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # an expired certificate has to be read, too
    try:
        with socket.create_connection((port.reached_at, port.number), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname=site_name(compose)) as connection:
                return connection.getpeercert(binary_form=True) or b""
    except OSError:
        return b""
