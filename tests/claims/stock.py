"""NGINX and Caddy with a configuration of a few lines: what they do when nobody has thought about it.

The controls of what our own configuration is claimed to prevent, and the bare ground of comparisons. Plain HTTP on
8080, on both of the stack's networks, removed at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stack.compose import LABEL
from stack.waiting import wait_until
from tests.support.engine import docker
from tests.support.stack import IMAGES, StackUnderTest, is_open

# A tutorial's reverse proxy. The upstream block is what keeps connections alive since NGINX 1.29.7.
REVERSE_PROXY = {
    "nginx": "upstream app { server app:8000; } server { listen 8080; location / { proxy_pass http://app; } }",
    "caddy": ":8080 {\n reverse_proxy app:8000\n}",
}
FRAME = {
    "nginx": (
        "daemon off; pid /tmp/pid; error_log /dev/stderr; events {{}} http {{ access_log off; "
        "client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; "
        "scgi_temp_path /tmp/e; {} }}"
    ),
    "caddy": "{{\n admin off\n auto_https off\n}}\n{}\n",
}
COMMAND = {
    "nginx": ("nginx", "-c"),
    "caddy": ("caddy", "run", "--adapter", "caddyfile", "--config"),
}


class Proxy(NamedTuple):
    """A running stock proxy: its container, and its address as this host reaches it (port 8080)."""

    container: str
    address: str


@contextmanager
def proxy(stack: StackUnderTest, name: str, configuration: str, folder: Path) -> Iterator[Proxy]:
    """Runs NGINX or Caddy with `configuration` (server blocks, or site blocks) beside the stack's own."""
    file = folder / f"stock-{name}.conf"
    file.write_text(FRAME[name].format(configuration))
    file.chmod(0o644)
    project = stack.compose.project
    command = ["create", "--label", f"{LABEL}.project={project}", "--network", f"{project}_edge", "--tmpfs", "/tmp"]
    command += ["--volume", f"{file}:/etc/stock.conf:ro", "--entrypoint", COMMAND[name][0], f"{IMAGES}-{name}"]
    container = docker(*command, *COMMAND[name][1:], "/etc/stock.conf").splitlines()[-1]
    try:
        docker("network", "connect", f"{project}_backend", container)
        docker("start", container)
        template = f'{{{{(index .NetworkSettings.Networks "{project}_edge").IPAddress}}}}'
        address = stack.compose.inspect(container, template)
        assert wait_until(lambda: is_open(address, 8080), 20), stack.compose.logs(container)
        yield Proxy(container, address)
    finally:
        docker("rm", "--force", container, check=False)
