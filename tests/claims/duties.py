"""Which proxy lacks which of the web server's duties in its standard build, and what would add it."""

from typing import NamedTuple

from tests.live import PROXIES, Stack, docker


class Plugin(NamedTuple):
    """What adds a duty: its module's home, its directive, and the name under which a build that has it lists it."""

    home: str
    directive: str
    module: str


CACHE, RATE_LIMIT = "cache", "rate limit"
NEEDS_PLUGIN = {
    ("caddy", CACHE): Plugin("github.com/caddyserver/cache-handler", "cache", "http.handlers.cache"),
    ("caddy", RATE_LIMIT): Plugin("github.com/mholt/caddy-ratelimit", "rate_limit", "http.handlers.rate_limit"),
}


def having(duty: str) -> list[str]:
    """The proxies that have it built in."""
    return [proxy for proxy in PROXIES if (proxy, duty) not in NEEDS_PLUGIN]


def lacks(stack: Stack, proxy: str, duty: str) -> bool:
    """Whether the proxy that runs really has no such module, and knows no such directive: Caddy is asked both."""
    (one,) = stack.compose.containers(proxy)
    plugin = NEEDS_PLUGIN[proxy, duty]
    modules = docker("exec", one, "caddy", "list-modules").split()
    assert "http.handlers.reverse_proxy" in modules, "the list was not read"
    config = f":1234 {{\n\t{plugin.directive}\n}}\n"
    said = docker(
        "exec", one, "sh", "-c", f"printf '{config}' | caddy adapt --adapter caddyfile --config -", check=False
    )
    return plugin.module not in modules and f"unrecognized directive: {plugin.directive}" in said
