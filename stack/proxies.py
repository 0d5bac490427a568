"""What each proxy does, and what it lacks: the duties on which they differ, with the reason.

A duty that is not listed here, every proxy has. A lack is strict: the duty's test must fail there, so that a release
which mends it is noticed (`duty` in tests/conftest.py); or, where a claim asks for the duty, a test of the claim must
find the lack (tests/claims/support/duties.py). docs/proxies.md shows this as a table.
"""

import re
from typing import NamedTuple

from stack import ROOT

CACHE, RATE_LIMIT, STATIC = "a cache", "a rate limit", "static files"

# What is promised, and the test that shows it.
DUTIES = {
    "HTTP/3": "test_http_3_is_offered_and_spoken",
    "no answer to unknown hosts": "test_an_unknown_host_gets_no_answer",
    "a time for the head": "test_a_client_that_stops_in_its_headers_is_let_go",
    STATIC: "test_static_files_come_from_the_proxy",
    "request id": "test_the_reply_and_the_app_have_the_same_request_id",
    RATE_LIMIT: "test_a_client_gets_its_rate_and_no_more",
    CACHE: "test_a_public_page_is_made_once",
}


class Lack(NamedTuple):
    """Why a proxy does not have a duty; the home of the plugin that adds it, and how that is built in."""

    why: str
    plugin: str = ""
    build: str = ""


# Which of them a proxy lacks.
LACKS = {
    ("caddy", RATE_LIMIT): Lack(
        "the standard build has none", "github.com/mholt/caddy-ratelimit", "xcaddy build --with {plugin}"
    ),
    ("caddy", CACHE): Lack(
        "the standard build has none", "github.com/caddyserver/cache-handler", "xcaddy build --with {plugin}"
    ),
    ("apache", "HTTP/3"): Lack("Apache httpd has none"),
    ("apache", RATE_LIMIT): Lack("the standard modules have none", "mod-qos.sourceforge.net"),
    ("apache", CACHE): Lack("has mod_cache, which is not configured in this stack"),
    ("traefik", "no answer to unknown hosts"): Lack("answers 404 itself; it cannot close without an answer"),
    ("traefik", "a time for the head"): Lack("counts the whole request, body included: 60 s"),
    ("traefik", STATIC): Lack("serves no files; `/static/` goes to the application"),
    ("traefik", "request id"): Lack("makes none; that needs a plugin. A client's own is removed"),
    ("traefik", CACHE): Lack("the standard build has none", "plugins.traefik.io"),
}


def names() -> list[str]:
    """Every proxy: the services of compose.yaml that have a folder with snippets."""
    services = re.findall(r"^  (\w+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    return [name for name in services if (ROOT / name / "snippets").is_dir()]


def having(duty: str) -> list[str]:
    """The proxies that do it."""
    return [name for name in names() if (name, duty) not in LACKS]


def lacking(duty: str) -> list[str]:
    """The proxies that do not."""
    return [name for name in names() if (name, duty) in LACKS]


def lack(proxy: str, duty: str) -> str:
    """A lack in words: why, and what would mend it."""
    one = LACKS[proxy, duty]
    plugin = f"; needs a plugin, [{one.plugin}](https://{one.plugin})" if one.plugin else ""
    return one.why + plugin + (f": `{one.build.format(plugin=one.plugin)}`" if one.build else "")
