"""The exceptions from the contract: bugs and limits of a server, each with its reason and a reference to upstream.

Each difference must really occur. When a new release mends one, a test fails, and the difference is deleted.
Checked by: test_every_application_keeps_the_contract
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """A duty that a server cannot fulfil, and why.

    `what` is the name of a check, or a promise that the tests check (`GRACEFUL_STOP`, `PROCESS_POOL`). `proxy`, `http`
    and `apps` limit the difference to one proxy, one HTTP version of the client, and some applications. Empty values
    limit nothing.
    `source` is upstream's issue, or the place in upstream's code.
    """

    server: str
    interface: str
    what: str
    reason: str
    source: str
    proxy: str = ""
    http: str = ""
    apps: tuple[str, ...] = ()


GRACEFUL_STOP = "graceful stop"
PROCESS_POOL = "processes of the application's own"
CLOSE_FRAME = "a stop closes WebSockets with a close frame"
LOG_LINES = "log lines as printed"
# Promises of tests/test_bodies_servers.py.
FAILS_IN_BODY = "an error in the reply is no complete reply"
BROKEN_CHUNKS = "a broken upload in chunks is an error"
HEADER_BYTES = "a header keeps the bytes that are not ASCII"

_EMPTY = "it answers 500 (UnexpectedMessageError) when a WSGI application returns no piece of a body"
_SUPERVISOR = "with two workers or more, the first worker that finishes ends the other workers and their requests"
_DAPHNE_STOP = "SIGTERM cancels every request in flight; Daphne has no graceful stop"
_DAPHNE_SOURCE = "daphne 4.2.3, server.py: kill_all_applications runs before the reactor stops"
_DAEMONIC = "its workers are daemonic processes, which may start no process (multiprocessing)"
_NO_END = "it ends the input of a WSGI application without an error, and a chunked body has no length to compare"
_HELD_BACK = "tornado.wsgi.WSGIContainer collects the whole reply, and then sends it with a Content-Length"
_HELD_BACK_SOURCE = "tornado 6.6.1, wsgi.py: handle_request joins the pieces"

DIFFERENCES = (
    # An application may return one empty piece (Django) or no piece (the others) where there is no body.
    Difference("hypercorn", "wsgi", "an empty stream", _EMPTY, "pgjones/hypercorn#331"),
    *(
        Difference("hypercorn", "wsgi", check, _EMPTY, "pgjones/hypercorn#331", apps=("bare", "bottle", "flask"))
        for check in ("HEAD has the headers and no body", "HEAD of a 404", "status 204", "status 304")
    ),
    *(
        Difference("hypercorn", "wsgi", check, _EMPTY, "pgjones/hypercorn#331", apps=("bottle",))
        for check in ("echo of nothing", "no bytes")
    ),
    Difference("hypercorn", "asgi", GRACEFUL_STOP, _SUPERVISOR, "pgjones/hypercorn#128"),
    Difference("hypercorn", "wsgi", GRACEFUL_STOP, _SUPERVISOR, "pgjones/hypercorn#128"),
    Difference("daphne", "asgi", GRACEFUL_STOP, _DAPHNE_STOP, _DAPHNE_SOURCE),
    Difference(
        "daphne", "asgi", "two large headers",
        "it answers 400 to more than 16,384 bytes of headers in all, with those that the proxy adds",
        "twisted 26.10.0, web/http.py: HTTPChannel.totalHeadersSize",
    ),
    *(
        Difference("hypercorn", interface, PROCESS_POOL, _DAEMONIC, "hypercorn 0.18.0, run.py: daemon = True")
        for interface in ("asgi", "wsgi")
    ),
    Difference(
        "daphne", "asgi", CLOSE_FRAME,
        "SIGTERM cancels the application of every WebSocket before it can send the frame (1006)", _DAPHNE_SOURCE,
    ),
    Difference(
        "hypercorn", "asgi", CLOSE_FRAME,
        "with two workers or more, only its main process gets SIGTERM, and the workers cut WebSockets (1006); many "
        "stops with open WebSockets hang until Docker kills the server",
        "hypercorn 0.18.0, run.py: shutdown_event; asyncio/run.py: the worker's task group is cancelled",
    ),
    Difference(
        "mod_wsgi", "wsgi", LOG_LINES,
        "Apache writes what an application prints into its own log: time and process stand before each line, and bytes "
        "outside ASCII are escaped",
        "Apache httpd, server/log.c: ap_escape_errorlog_item",
    ),
    Difference("granian", "wsgi", BROKEN_CHUNKS, _NO_END, "granian 2.8.7, measured; no upstream issue known"),
    Difference("hypercorn", "wsgi", BROKEN_CHUNKS, _NO_END, "hypercorn 0.18.0, app_wrappers.py: handle_http"),
    Difference(
        "granian", "wsgi", FAILS_IN_BODY,
        "it ends a reply as if it were complete when the application raises",
        "granian 2.8.7, measured; no upstream issue known",
    ),
    Difference(
        "mod_wsgi", "wsgi", FAILS_IN_BODY,
        "Apache ends a reply of the daemon as if it were complete when the application raises",
        "mod_wsgi 6.1.1, measured; no upstream issue known",
    ),
    Difference(
        "granian", "wsgi", HEADER_BYTES,
        "the application gets an empty value", "granian 2.8.7, measured; no upstream issue known",
    ),
    Difference(
        "wsgiref", "wsgi", FAILS_IN_BODY,
        "it speaks HTTP/1.0, where the end of the connection is the end of a reply",
        "docs.python.org/3/library/wsgiref.html",
    ),
    Difference("tornado", "wsgi", "stream", _HELD_BACK, _HELD_BACK_SOURCE),
    Difference("tornado", "wsgi", "server-sent events", _HELD_BACK, _HELD_BACK_SOURCE),
    Difference(
        "wsgiref", "wsgi", "upload of 1 MB in chunks",
        "it does not decode a chunked body: the client gets 411, or 502 while the body is still arriving. NGINX sends "
        "a length instead, and Caddy does so for bodies up to 64 KiB",
        "PEP 3333 leaves it to the server; docs.python.org/3/library/wsgiref.html", "caddy",
    ),
)  # fmt: skip


def differences(
    server: str, interface: str, proxy: str = "", http: str = "", app: str = "bare"
) -> dict[str, Difference]:
    """The named differences of a server with one application, behind one proxy, over one HTTP version, by `what`."""
    return {
        difference.what: difference
        for difference in DIFFERENCES
        if (difference.server, difference.interface) == (server, interface)
        and difference.proxy in ("", proxy)
        and difference.http in ("", http)
        and (not difference.apps or app in difference.apps)
    }
