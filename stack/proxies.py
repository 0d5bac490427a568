"""The duties on which the proxies differ: which proxy lacks a duty, and why.

Every proxy has the duties that are not listed here. A lack is strict: the duty's test must fail for that proxy, so that
a release which mends the lack is noticed (`duty` in tests/conftest.py). Where a claim asks for the duty, a test of the
claim must find the lack (tests/claims/support/duties.py). docs/proxies.md shows the lacks as a table.
"""

import re
from typing import NamedTuple

from stack import ROOT

CACHE, RATE_LIMIT, STATIC = "a cache", "a rate limit", "static files"
PREFIXES, UNDERSCORES = "reserved prefixes", "names with underscores"
CLIENT_LIMIT, SILENCE = "a limit for each client", "a limit of silence within a reply"
READS_ON, EXACT_LIMIT = "413 for a client that sends everything first", "413 for one byte too many without a length"
NO_TRANSFORM, NEW_CODING = "no-transform is not compressed", "Brotli or Zstandard"
TWO_TRIES = "two tries with idle connections"
SECOND = "a second container for a GET"
QUERY_BYTES, PATH_BYTES = "a query byte for byte", "a path byte for byte"
NO_LINKS = "no link leads out of a folder"
BAD_END = "400 for a bad end of a chunked body"

# Each duty, and the test that shows it.
DUTIES = {
    "HTTP/3": "test_http_3_is_offered_and_spoken",
    "no answer to unknown hosts": "test_an_unknown_host_gets_no_answer",
    "a time for the head": "test_a_client_that_stops_in_its_headers_is_let_go",
    STATIC: "test_static_files_come_from_the_proxy",
    "request id": "test_the_reply_and_the_app_have_the_same_request_id",
    RATE_LIMIT: "test_a_client_gets_its_rate_and_no_more",
    CACHE: "test_a_public_page_is_made_once",
    PREFIXES: "test_a_reserved_prefix_covers_names_that_nobody_knows",
    UNDERSCORES: "test_no_name_with_an_underscore_reaches_the_app",
    CLIENT_LIMIT: "test_a_client_gets_its_requests_at_once_and_no_more",
    SILENCE: "test_a_reply_that_falls_silent_is_ended",
    READS_ON: "test_a_client_that_sends_everything_first_reads_413",
    EXACT_LIMIT: "test_one_byte_over_the_limit_is_refused_without_a_length",
    NO_TRANSFORM: "test_no_transform_is_not_compressed",
    NEW_CODING: "test_a_newer_coding_than_gzip_is_offered",
    QUERY_BYTES: "test_a_query_arrives_byte_for_byte",
    PATH_BYTES: "test_a_path_arrives_byte_for_byte",
    BAD_END: "test_fields_after_a_body_are_dropped_or_refused",
    NO_LINKS: "test_no_link_leads_out_of_a_folder",
    TWO_TRIES: "test_idle_connections_are_no_reason_to_ask_again",
    SECOND: "test_a_get_to_a_container_that_leaves_is_answered_by_another",
    "the application's own security headers": "test_the_security_headers_of_an_application_win",
    "headers on malformed requests": "test_a_malformed_request_gets_the_headers_too",
}


class Lack(NamedTuple):
    """Why a proxy does not have a duty; the home of the plugin that adds it, and how that is built in."""

    why: str
    plugin: str = ""
    build: str = ""


# Removes a header by its whole name only: proxy_set_header, RequestHeader, customRequestHeaders.
BY_NAME = ("nginx", "apache", "traefik")
# Go's net/http, transport.go: shouldRetryRequest, which no option changes.
_GO_TRIES = "Go also sends a GET or HEAD again for each idle connection that closes without an answer"

# The duties that a proxy lacks.
LACKS = {
    ("nginx", NO_TRANSFORM): Lack("no option reads it; an application adds `Content-Encoding: identity`"),
    ("nginx", NEW_CODING): Lack("the standard build has neither", "github.com/google/ngx_brotli"),
    ("caddy", RATE_LIMIT): Lack(
        "the standard build has none", "github.com/mholt/caddy-ratelimit", "xcaddy build --with {plugin}"
    ),
    ("caddy", CACHE): Lack(
        "the standard build has none", "github.com/caddyserver/cache-handler", "xcaddy build --with {plugin}"
    ),
    ("caddy", READS_ON): Lack("closes with a reset while the client still sends; `Expect: 100-continue` avoids that"),
    ("apache", EXACT_LIMIT): Lack(
        "lets up to 64 kB more pass and then answers 500: no module limits a body that passes on"
    ),
    ("caddy", NO_LINKS): Lack("follows links: a link among static files or media shows any file that it may read"),
    ("caddy", TWO_TRIES): Lack(_GO_TRIES),
    ("apache", SECOND): Lack("sends no request a second time, so a GET that the container did not answer is 502"),
    ("traefik", SECOND): Lack("sends a GET again only where an idle connection closed, so the others are 502"),
    ("apache", "HTTP/3"): Lack("Apache httpd has none"),
    ("apache", RATE_LIMIT): Lack("the standard modules have none", "mod-qos.sourceforge.net"),
    ("apache", CACHE): Lack("has mod_cache, which is not configured in this stack"),
    ("traefik", "no answer to unknown hosts"): Lack("answers 404 itself; it cannot close without an answer"),
    ("traefik", "a time for the head"): Lack("counts the whole request, body included: 60 s"),
    ("traefik", STATIC): Lack("serves no files; `/static/` goes to the application"),
    ("traefik", "request id"): Lack("makes none; that needs a plugin. A client's own is removed"),
    ("traefik", READS_ON): Lack("closes with a reset while the client still sends; `Expect: 100-continue` avoids that"),
    ("traefik", NO_TRANSFORM): Lack("no option reads it; an application adds `Content-Encoding: identity`"),
    ("traefik", TWO_TRIES): Lack(_GO_TRIES),
    ("traefik", CACHE): Lack("the standard build has none", "plugins.traefik.io"),
    ("caddy", PATH_BYTES): Lack("Go's net/url writes what no URL may hold as `%xx`, with the same meaning"),
    ("traefik", PATH_BYTES): Lack(
        "writes `%41` as `A`, `%2f` as `%2F`, what no URL may hold as `%xx`: the same meaning"
    ),
    ("traefik", QUERY_BYTES): Lack("writes `;` as `%3B`, with the same meaning; its other choice is `&`"),
    ("traefik", BAD_END): Lack("its buffering answers 500, also to more than 4 kB of fields after a body"),
    ("haproxy", NEW_CODING): Lack("knows gzip and deflate only"),
    ("traefik", "the application's own security headers"): Lack(
        "its headers middleware replaces them, also a stricter Referrer-Policy; it cannot set a default"
    ),
    **{
        (proxy, "headers on malformed requests"): Lack(why)
        for proxy, why in {
            "caddy": "Go's HTTP server answers them before any rule",
            "traefik": "Go's HTTP server answers them before any rule",
            "haproxy": "its parser answers them before any rule",
            "apache": "its parser answers them before there is a request id",
        }.items()
    },
    ("haproxy", STATIC): Lack("serves no files; `/static/` goes to the application"),
    ("caddy", CLIENT_LIMIT): Lack("the standard build has none; memory holds what all open files can take"),
    ("apache", CLIENT_LIMIT): Lack("the standard modules have none", "mod-qos.sourceforge.net"),
    ("caddy", SILENCE): Lack("`read_timeout` would also count idle connections, and close silent WebSockets"),
    ("traefik", SILENCE): Lack("`forwardingTimeouts` has none for HTTP/1.1"),
    ("haproxy", CACHE): Lack("has a cache, which is not configured in this stack"),
    **{(proxy, PREFIXES): Lack("removes single names only, so it lists every known one") for proxy in BY_NAME},
    ("apache", UNDERSCORES): Lack("removes only the spellings of reserved headers"),
}


def names() -> list[str]:
    """Every proxy: the services of compose.yaml that have a folder with snippets."""
    services = re.findall(r"^  (\w+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    return [name for name in services if (ROOT / name / "snippets").is_dir()]


def having(duty: str) -> list[str]:
    """The proxies that have the duty."""
    return [name for name in names() if (name, duty) not in LACKS]


def lacking(duty: str) -> list[str]:
    """The proxies that lack the duty."""
    return [name for name in names() if (name, duty) in LACKS]


def lack(proxy: str, duty: str) -> str:
    """A lack in words: the reason, and what would mend it."""
    reason, plugin, build = LACKS[proxy, duty]
    need = f"; needs a plugin, [{plugin}](https://{plugin})" if plugin else ""
    return reason + need + (f": `{build.format(plugin=plugin)}`" if build else "")
