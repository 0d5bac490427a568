"""Whether a proxy really lacks a duty that stack/proxies.py says it lacks. The proxy itself is asked.

Another proxy that lacks a duty of a claim (a cache, a rate limit) needs one function here, and its row in `CHECKS`.
"""

from collections.abc import Callable
from pathlib import Path

from stack.proxies import CACHE, RATE_LIMIT
from tests.support.engine import exec_in
from tests.support.stack import StackUnderTest

# The directive of the plugin that adds the duty, and the module that a build with this plugin lists.
CADDY = {CACHE: ("cache", "http.handlers.cache"), RATE_LIMIT: ("rate_limit", "http.handlers.rate_limit")}
# The directive that would do the duty, and the modules that have such a directive.
APACHE = {
    CACHE: ("CacheEnable disk /cache/", {"cache"}),
    RATE_LIMIT: (
        "QS_ClientEventLimitCount 10 1",
        {"qos", "evasive", "evasive20", "evasive24", "security2"},
    ),
}


def lacks(stack: StackUnderTest, proxy: str, duty: str, folder: Path) -> bool:
    """Whether the running proxy has no module for the duty, and refuses the directive. `folder` is for files."""
    return CHECKS[proxy](stack, duty, folder)


def caddy_lacks(stack: StackUnderTest, duty: str, folder: Path) -> bool:
    """Caddy lists its modules, and refuses an unknown directive."""
    container = stack.container("caddy")
    directive, module = CADDY[duty]
    modules = exec_in(container, "caddy", "list-modules").split()
    assert "http.handlers.reverse_proxy" in modules, "the list was not read"
    adapt = f"printf ':1234 {{\\n{directive}\\n}}\\n' | caddy adapt --adapter caddyfile --config -"
    answer = exec_in(container, "sh", "-c", adapt, check=False)
    return module not in modules and f"unrecognized directive: {directive}" in answer


def apache_lacks(stack: StackUnderTest, duty: str, folder: Path) -> bool:
    """Apache lists what is loaded. Its cache is installed but not loaded. A rate limit is not even installed."""
    container = stack.container("apache")
    directive, names = APACHE[duty]
    loaded = exec_in(container, "start.sh", "-M")
    assert "proxy_http_module" in loaded, "the list was not read"
    answer = exec_in(container, "start.sh", "-t", "-c", directive, check=False)
    files = exec_in(container, "ls", "modules").replace(".so", "").split()
    installed = {file.removeprefix("mod_") for file in files}
    assert "proxy_http" in installed, "the folder was not read"
    return (
        not any(f"{name}_module" in loaded for name in names)
        and bool(installed & names) == (duty == CACHE)
        and f"Invalid command '{directive.split()[0]}'" in answer
    )


def traefik_lacks(stack: StackUnderTest, duty: str, folder: Path) -> bool:
    """Traefik refuses a middleware of this name."""
    assert duty == CACHE
    file = folder / "lacking.yaml"
    file.write_text("http: {middlewares: {lacking: {cache: {}}}}\n")
    file.chmod(0o644)
    mount = f"{file}:/etc/traefik/snippets/lacking.yaml:ro"
    command = ["run", "--rm", "--no-deps", "--no-TTY", "--volume", mount, "--entrypoint", "sh", "traefik"]
    answer = stack.compose.run(*command, "-c", "start.sh --check 2>&1", check=False)
    return "field not found, node: cache" in answer


def haproxy_lacks(stack: StackUnderTest, duty: str, folder: Path) -> bool:
    """HAProxy has a cache in its build, and no rule of its configuration uses it."""
    assert duty == CACHE
    container = stack.container("haproxy")
    configuration = exec_in(container, "cat", "/run/haproxy/haproxy.cfg")
    assert "\nfrontend site\n" in configuration, "the configuration was not read"
    filters = exec_in(container, "haproxy", "-vv").partition("Available filters :")[2]
    return "[CACHE] cache" in filters and "cache-use" not in configuration


CHECKS: dict[str, Callable[[StackUnderTest, str, Path], bool]] = {
    "caddy": caddy_lacks,
    "apache": apache_lacks,
    "traefik": traefik_lacks,
    "haproxy": haproxy_lacks,
}
