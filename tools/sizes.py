"""What each proxy answers to a request or a reply that is larger than the contract promises (apps/contract.py).

docs/proxies.md shows the table, and the tests of the limits read the same one.
"""

from typing import NamedTuple

from apps import contract


class Excess(NamedTuple):
    """More than a proxy takes, in bytes or in headers, and the status of its answer."""

    amount: int
    status: int


LINE, HEADER, ALL_HEADERS, HEADERS = "request line", "one header", "all headers", "number of headers"
REPLY_HEAD, BODY = "reply's head", "body"
# What each proxy answers to more than apps/contract.py promises. A limit is missing where the proxy has none.
OVER_LIMITS = {
    "nginx": {
        LINE: Excess(17_000, 414), HEADER: Excess(17_000, 431), ALL_HEADERS: Excess(40_000, 431),
        HEADERS: Excess(95, 431), REPLY_HEAD: Excess(17_000, 502), BODY: Excess(contract.BODY + 1, 413),
    },
    "caddy": {
        LINE: Excess(40_000, 431), HEADER: Excess(40_000, 431), ALL_HEADERS: Excess(40_000, 431),
        BODY: Excess(contract.BODY + 1, 413),
    },
    "apache": {
        LINE: Excess(17_000, 414), HEADER: Excess(17_000, 400), HEADERS: Excess(95, 400),
        REPLY_HEAD: Excess(17_000, 502), BODY: Excess(contract.BODY + 1, 413),
    },
    "traefik": {
        LINE: Excess(40_000, 431), HEADER: Excess(40_000, 431), ALL_HEADERS: Excess(40_000, 431),
        BODY: Excess(contract.BODY + 1, 413),
    },
    "haproxy": {
        LINE: Excess(40_000, 414), HEADER: Excess(40_000, 431), ALL_HEADERS: Excess(40_000, 431),
        HEADERS: Excess(95, 431), REPLY_HEAD: Excess(40_000, 502), BODY: Excess(contract.BODY + 1, 413),
    },
}  # fmt: skip
