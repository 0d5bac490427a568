"""Which servers of apps/servers have an interface, workers, and workers that accept connections themselves."""

from apps.runtime import serve

# Apache's processes hold the connections, and hand requests to mod_wsgi's workers through a socket of their own.
BEHIND_APACHE = ("mod_wsgi", "wsgi")


def find_servers(interface: str) -> list[str]:
    """Every server that has a script for this interface."""
    return [server for server, own_interface in serve.pairs() if own_interface == interface]


def has_one_process(server: str, interface: str) -> bool:
    """Whether the server's script declares that it has no workers."""
    script = serve.SERVERS / interface / f"{server}.sh"
    return serve.facts(script)["workers"].startswith("one")


def find_servers_with_workers() -> list[tuple[str, str]]:
    """Every server and interface whose script takes WORKERS."""
    return [pair for pair in serve.pairs() if not has_one_process(*pair)]


def find_servers_whose_workers_accept() -> list[tuple[str, str]]:
    """Every server and interface with workers that accept connections themselves. Apache accepts for mod_wsgi's."""
    return [pair for pair in find_servers_with_workers() if pair != BEHIND_APACHE]
