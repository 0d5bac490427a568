"""Asks a proxy for one page or for its certificate: on this host, or inside a container of an engine that is elsewhere.

In a container this file runs by itself, so it imports nothing of the stack. `python3 - HOST PORT NAME PATH AUTHORITY`
prints the status of the page, and `python3 - HOST PORT NAME` the certificate.
"""

import http.client
import socket
import ssl
import sys
from functools import cache


@cache
def make_context(authority: str) -> ssl.SSLContext:
    """Verifies certificates by the host's authorities and by `authority` (PEM). Reading the host's takes a while."""
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    return context


def request_status(host: str, port: int, name: str, path: str, authority: str) -> str:
    """The status of one GET over TLS, or the error in words. `authority`: a certificate to trust besides the host's."""
    context = make_context(authority)
    connection = http.client.HTTPSConnection(name, port, timeout=5)
    try:
        plain = socket.create_connection((host, port), timeout=5)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        connection.request("GET", path, headers={"Host": f"{name}:{port}"})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or repr(error)
    finally:
        connection.close()


def read_certificate(host: str, port: int, name: str) -> str:
    """The certificate (PEM) that a server has for a name, whoever signed it; empty where nobody answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # an expired certificate has to be read, too
    try:
        with socket.create_connection((host, port), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname=name) as connection:
                return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
    except OSError:
        return ""


if __name__ == "__main__":
    ask = request_status if len(sys.argv) > 4 else read_certificate
    print(ask(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
