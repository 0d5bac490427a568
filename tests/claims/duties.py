"""Whether a proxy really lacks a duty that stack/proxies.py says it lacks: it is asked itself."""

from pathlib import Path

from stack.proxies import CACHE, RATE_LIMIT
from tests.support.engine import docker
from tests.support.stack import StackUnderTest

# The directive of the plugin that adds the duty, and the module that a build which has it lists.
CADDY = {CACHE: ("cache", "http.handlers.cache"), RATE_LIMIT: ("rate_limit", "http.handlers.rate_limit")}
# The directive that would do it, and the modules that have one.
APACHE = {
    CACHE: ("CacheEnable disk /cache/", {"cache"}),
    RATE_LIMIT: (
        "QS_ClientEventLimitCount 10 1",
        {"qos", "evasive", "evasive20", "evasive24", "security2"},
    ),
}


def lacks(stack: StackUnderTest, proxy: str, duty: str, folder: Path) -> bool:
    """Whether the proxy that runs has no such module, and knows no such word."""
    (one,) = stack.compose.containers(proxy)
    if proxy == "caddy":
        directive, module = CADDY[duty]
        modules = docker("exec", one, "caddy", "list-modules").split()
        assert "http.handlers.reverse_proxy" in modules, "the list was not read"
        adapt = f"printf ':1234 {{\\n{directive}\\n}}\\n' | caddy adapt --adapter caddyfile --config -"
        said = docker("exec", one, "sh", "-c", adapt, check=False)
        return module not in modules and f"unrecognized directive: {directive}" in said
    if proxy == "apache":
        directive, names = APACHE[duty]
        loaded = docker("exec", one, "start.sh", "-M")
        assert "proxy_http_module" in loaded, "the list was not read"
        said = docker("exec", one, "start.sh", "-t", "-c", directive, check=False)
        # Its cache is there, and not loaded; of a rate limit there is no module at all.
        there = {path.removeprefix("mod_") for path in docker("exec", one, "ls", "modules").replace(".so", "").split()}
        assert "proxy_http" in there, "the folder was not read"
        return (
            not any(f"{name}_module" in loaded for name in names)
            and bool(there & names) == (duty == CACHE)
            and f"Invalid command '{directive.split()[0]}'" in said
        )
    if proxy == "haproxy":
        assert duty == CACHE
        configuration = docker("exec", one, "cat", "/run/haproxy/haproxy.cfg")
        assert "\nfrontend site\n" in configuration, "the configuration was not read"
        filters = docker("exec", one, "haproxy", "-vv").partition("Available filters :")[2]
        # Its cache is there, and no rule uses it.
        return "[CACHE] cache" in filters and "cache-use" not in configuration
    assert (proxy, duty) == ("traefik", CACHE)
    file = folder / "lacking.yaml"
    file.write_text("http: {middlewares: {lacking: {cache: {}}}}\n")
    file.chmod(0o644)
    mount = f"{file}:/etc/traefik/snippets/lacking.yaml:ro"
    command = ["run", "--rm", "--no-deps", "--no-TTY", "--volume", mount, "--entrypoint", "sh", proxy]
    said = stack.compose.run(*command, "-c", "start.sh --check 2>&1", check=False)
    return "field not found, node: cache" in said
