"""Proxies with a configuration of a few lines: what they do when nobody has hardened them.

They are the controls of what this stack's configuration prevents, and the baseline of comparisons. A stock proxy speaks
plain HTTP on port 8080, is in both networks of the stack, and is removed at the end.

Another proxy needs one entry each in `FRAME` and `COMMAND`, and one in `REVERSE_PROXY` where a claim compares it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.engine import address_in, client, read_logs, remove
from tests.support.stack import IMAGES, StackUnderTest, is_open

PORT = 8080
# A tutorial's reverse proxy. NGINX keeps upstream connections open only for an `upstream` block (since 1.29.7).
REVERSE_PROXY = {
    "nginx": "upstream app { server app:8000; } server { listen 8080; location / { proxy_pass http://app; } }",
    "caddy": ":8080 {\n reverse_proxy app:8000\n}",
}
# What stands around the server blocks (NGINX) or the site blocks (Caddy).
FRAME = {
    "nginx": (
        "daemon off; pid /tmp/pid; error_log /dev/stderr; events {{}} http {{ access_log off; "
        "client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; "
        "scgi_temp_path /tmp/e; {} }}"
    ),
    "caddy": "{{\n admin off\n auto_https off\n}}\n{}\n",
}
# The command that reads the configuration whose path follows.
COMMAND = {
    "nginx": ("nginx", "-c"),
    "caddy": ("caddy", "run", "--adapter", "caddyfile", "--config"),
}


class StockProxy(NamedTuple):
    """A running stock proxy: its container, and its address as this host reaches it (port 8080)."""

    container: str
    address: str


@contextmanager
def run_stock_proxy(stack: StackUnderTest, proxy: str, configuration: str, folder: Path) -> Iterator[StockProxy]:
    """Runs a proxy with `configuration` (server blocks, or site blocks) beside the stack's own proxies."""
    file = folder / f"stock-{proxy}.conf"
    file.write_text(FRAME[proxy].format(configuration))
    file.chmod(0o644)
    project = stack.compose.project
    program, *arguments = COMMAND[proxy]
    container = str(
        client()
        .containers.create(
            f"{IMAGES}-{proxy}",
            [*arguments, "/etc/stock.conf"],
            entrypoint=[program],
            labels={f"{LABEL}.project": project},
            network=f"{project}_edge",
            tmpfs={"/tmp": ""},
            volumes={str(file): {"bind": "/etc/stock.conf", "mode": "ro"}},
        )
        .id
    )
    try:
        client().api.connect_container_to_network(container, f"{project}_backend")
        client().api.start(container)
        address = address_in(container, f"{project}_edge")
        assert wait_until(lambda: is_open(address, PORT), 20), read_logs(container)
        yield StockProxy(container, address)
    finally:
        remove(container)
