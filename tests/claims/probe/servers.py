"""How each server is started for the probes: in the best configuration that its release offers, then plainly.

A server is one process or two: some serve with and without TLS at once. Each has commands to try in turn: an old
release that does not know a flag falls back to the next.
"""

from typing import NamedTuple

CLEAR = ("127.0.0.1", 8000)
TLS = ("127.0.0.1", 8443)
CERTIFICATE, KEY = "/certs/fullchain.pem", "/certs/privkey.pem"
REFERENCE = ("granian", "asgi")  # where one server is enough
APPS = {"asgi": "apps.asgi.probe:app", "wsgi": "apps.wsgi.probe:app"}


class Process(NamedTuple):
    """What is tried in turn, and which places it serves then."""

    places: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def pair(base: list[str], best: dict[str, list[str]], plain: dict[str, list[str]]) -> list[Process]:
    """Two processes of one server: without TLS and with it; the best flags first, the plain ones after."""
    return [
        Process((place,), tuple(dict.fromkeys((*base, *flags[place]) for flags in (best, plain))))
        for place in ("clear", "tls")
    ]


def gunicorn(worker: list[str], app: str) -> list[Process]:
    """HTTP/2 since 25.0, over clear TCP since 26.2 and for trusted peers only."""
    plain = {
        "clear": ["--bind", "127.0.0.1:8000"],
        "tls": ["--bind", "127.0.0.1:8443", "--certfile", CERTIFICATE, "--keyfile", KEY],
    }
    more = ["--http-protocols", "h2,h1"]
    best = {
        "clear": [*plain["clear"], *more, "--http2-cleartext", "both", "--forwarded-allow-ips", "127.0.0.1"],
        "tls": [*plain["tls"], *more],
    }
    return pair(["gunicorn", app, "--worker-tmp-dir", "/dev/shm", *worker], best, plain)


def uvicorn(app: str) -> list[Process]:
    """HTTP/2 since 0.53, with the parser zttp."""
    plain = {
        "clear": ["--host", "127.0.0.1", "--port", "8000"],
        "tls": ["--host", "127.0.0.1", "--port", "8443", "--ssl-certfile", CERTIFICATE, "--ssl-keyfile", KEY],
    }
    best = {place: [*flags, "--http", "zttp", "--http2"] for place, flags in plain.items()}
    return pair(["uvicorn", app], best, plain)


def hypercorn(app: str) -> list[Process]:
    """HTTP/2 by itself; HTTP/3 with the extra h3, one worker only."""
    base = ("hypercorn", "--bind", "127.0.0.1:8443", "--insecure-bind", "127.0.0.1:8000", "--certfile", CERTIFICATE)
    plain = (*base, "--keyfile", KEY, app)
    return [Process(("clear", "tls"), ((*plain, "--quic-bind", "127.0.0.1:8443"), plain))]


def daphne(app: str) -> list[Process]:
    """HTTP/2 over TLS, where h2 and priority are installed."""
    endpoint = f"ssl:8443:privateKey={KEY}:certKey={CERTIFICATE}:interface=127.0.0.1"
    flags = {"clear": ["-b", "127.0.0.1", "-p", "8000", app], "tls": ["-e", endpoint, app]}
    return pair(["daphne", "-v", "0"], flags, flags)


def granian(interface: str, app: str) -> list[Process]:
    """HTTP/1 and 2 by itself."""
    flags = {
        "clear": ["--port", "8000", app],
        "tls": ["--port", "8443", "--ssl-certificate", CERTIFICATE, "--ssl-keyfile", KEY, app],
    }
    threads = ["--blocking-threads", "8"] if interface == "wsgi" else []
    return pair(["granian", "--interface", interface, "--host", "127.0.0.1", "--http", "auto", *threads], flags, flags)


def alone(server: str, interface: str) -> list[Process]:
    """A server of this project in its best configuration; one that is not named here by its own script."""
    app = APPS[interface]
    known = {
        ("gunicorn", "asgi"): lambda: gunicorn(["--worker-class", "asgi"], app),
        ("gunicorn", "wsgi"): lambda: gunicorn(["--worker-class", "gthread", "--threads", "8"], app),
        ("gunicorn-sync", "wsgi"): lambda: gunicorn(["--worker-class", "sync"], app),
        ("gunicorn-uvicorn", "asgi"): lambda: gunicorn(["--worker-class", "uvicorn_worker.UvicornWorker"], app),
        ("uvicorn", "asgi"): lambda: uvicorn(app),
        ("uvicorn", "wsgi"): lambda: uvicorn("apps.wsgi_adapter:app"),
        ("hypercorn", "asgi"): lambda: hypercorn(f"asgi:{app}"),
        ("hypercorn", "wsgi"): lambda: hypercorn(f"wsgi:{app}"),
        ("daphne", "asgi"): lambda: daphne(app),
        ("granian", "asgi"): lambda: granian("asgi", app),
        ("granian", "wsgi"): lambda: granian("wsgi", app),
    }
    if (server, interface) in known:
        return known[server, interface]()
    return [Process(("clear",), (("sh", f"/srv/apps/servers/{interface}/{server}.sh"),))]


# Where a2wsgi is installed, Uvicorn's --interface wsgi is a2wsgi: hidden, what is left is Uvicorn's own.
HIDE = "import sys; sys.modules['a2wsgi'] = None; from uvicorn.main import main; main()"
WITHOUT_A2WSGI = ["python3", "-c", HIDE]

# Natively, without an adapter of ours: which interface does a server's own command serve?
NATIVE = {
    ("gunicorn", "wsgi"): ["gunicorn", APPS["wsgi"]],
    ("gunicorn", "asgi"): ["gunicorn", "--worker-class", "asgi", APPS["asgi"]],
    ("uvicorn", "wsgi"): [*WITHOUT_A2WSGI, "--interface", "wsgi", APPS["wsgi"]],
    ("uvicorn", "asgi"): ["uvicorn", APPS["asgi"]],
    ("hypercorn", "wsgi"): ["hypercorn", APPS["wsgi"]],
    ("hypercorn", "asgi"): ["hypercorn", APPS["asgi"]],
    ("daphne", "wsgi"): ["daphne", APPS["wsgi"]],
    ("daphne", "asgi"): ["daphne", APPS["asgi"]],
    ("granian", "wsgi"): ["granian", "--interface", "wsgi", APPS["wsgi"]],
    ("granian", "asgi"): ["granian", "--interface", "asgi", APPS["asgi"]],
}

# The form that the documents give. All five listen on port 8000 by default.
BARE = {
    (server, interface): [server, APPS[interface]]
    for server in ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
    for interface in ("wsgi", "asgi")
}
