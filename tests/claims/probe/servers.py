"""How each server is started in the probe container: in the best configuration of its release, then without extras.

A server is one process or two, because only some servers serve with and without TLS at once. A process has several
commands. An old release refuses a flag that it does not have, and then the next command is tried.
"""

from typing import NamedTuple

CLEAR = ("127.0.0.1", 8000)
TLS = ("127.0.0.1", 8443)
CERTIFICATE, KEY = "/certs/fullchain.pem", "/certs/privkey.pem"
REFERENCE = ("granian", "asgi")  # the server for measurements where one server is enough
APPS = {"asgi": "apps.asgi.probe:app", "wsgi": "apps.wsgi.probe:app"}


class Process(NamedTuple):
    """One process of a server: the commands to try in turn, and the places that the process serves."""

    places: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def list_two_processes(base: list[str], best: dict[str, list[str]], plain: dict[str, list[str]]) -> list[Process]:
    """Two processes of one server: without TLS and with it. The best flags come first, the plain flags after."""
    return [
        Process((place,), tuple(dict.fromkeys((*base, *flags[place]) for flags in (best, plain))))
        for place in ("clear", "tls")
    ]


def list_gunicorn(worker: list[str], app: str) -> list[Process]:
    """Gunicorn has HTTP/2 since 25.0; over clear TCP since 26.2, and for trusted peers only."""
    plain = {
        "clear": ["--bind", "127.0.0.1:8000"],
        "tls": ["--bind", "127.0.0.1:8443", "--certfile", CERTIFICATE, "--keyfile", KEY],
    }
    versions = ["--http-protocols", "h2,h1"]
    best = {
        "clear": [*plain["clear"], *versions, "--http2-cleartext", "both", "--forwarded-allow-ips", "127.0.0.1"],
        "tls": [*plain["tls"], *versions],
    }
    return list_two_processes(["gunicorn", app, "--worker-tmp-dir", "/dev/shm", *worker], best, plain)


def list_uvicorn(app: str) -> list[Process]:
    """Uvicorn has HTTP/2 since 0.53, with the parser zttp."""
    plain = {
        "clear": ["--host", "127.0.0.1", "--port", "8000"],
        "tls": ["--host", "127.0.0.1", "--port", "8443", "--ssl-certfile", CERTIFICATE, "--ssl-keyfile", KEY],
    }
    best = {place: [*flags, "--http", "zttp", "--http2"] for place, flags in plain.items()}
    return list_two_processes(["uvicorn", app], best, plain)


def list_hypercorn(app: str) -> list[Process]:
    """Hypercorn has HTTP/2 without extras; HTTP/3 with the extra h3, and one worker only."""
    base = ("hypercorn", "--bind", "127.0.0.1:8443", "--insecure-bind", "127.0.0.1:8000", "--certfile", CERTIFICATE)
    plain = (*base, "--keyfile", KEY, app)
    return [Process(("clear", "tls"), ((*plain, "--quic-bind", "127.0.0.1:8443"), plain))]


def list_daphne(app: str) -> list[Process]:
    """Daphne has HTTP/2 over TLS where h2 and priority are installed."""
    endpoint = f"ssl:8443:privateKey={KEY}:certKey={CERTIFICATE}:interface=127.0.0.1"
    flags = {"clear": ["-b", "127.0.0.1", "-p", "8000", app], "tls": ["-e", endpoint, app]}
    return list_two_processes(["daphne", "-v", "0"], flags, flags)


def list_granian(interface: str, app: str) -> list[Process]:
    """Granian has HTTP/1 and HTTP/2 without extras."""
    flags = {
        "clear": ["--port", "8000", app],
        "tls": ["--port", "8443", "--ssl-certificate", CERTIFICATE, "--ssl-keyfile", KEY, app],
    }
    threads = ["--blocking-threads", "8"] if interface == "wsgi" else []
    return list_two_processes(
        ["granian", "--interface", interface, "--host", "127.0.0.1", "--http", "auto", *threads], flags, flags
    )


def list_processes(server: str, interface: str) -> list[Process]:
    """A server of this project in its best configuration; a server without an entry here, by its own script."""
    app = APPS[interface]
    commands = {
        ("gunicorn", "asgi"): lambda: list_gunicorn(["--worker-class", "asgi"], app),
        ("gunicorn", "wsgi"): lambda: list_gunicorn(["--worker-class", "gthread", "--threads", "8"], app),
        ("gunicorn-sync", "wsgi"): lambda: list_gunicorn(["--worker-class", "sync"], app),
        ("gunicorn-uvicorn", "asgi"): lambda: list_gunicorn(["--worker-class", "uvicorn_worker.UvicornWorker"], app),
        ("uvicorn", "asgi"): lambda: list_uvicorn(app),
        ("uvicorn", "wsgi"): lambda: list_uvicorn("apps.wsgi_adapter:app"),
        ("hypercorn", "asgi"): lambda: list_hypercorn(f"asgi:{app}"),
        ("hypercorn", "wsgi"): lambda: list_hypercorn(f"wsgi:{app}"),
        ("daphne", "asgi"): lambda: list_daphne(app),
        ("granian", "asgi"): lambda: list_granian("asgi", app),
        ("granian", "wsgi"): lambda: list_granian("wsgi", app),
    }
    if (server, interface) in commands:
        return commands[server, interface]()
    return [Process(("clear",), (("sh", f"/srv/apps/servers/{interface}/{server}.sh"),))]


# Where a2wsgi is installed, Uvicorn's `--interface wsgi` uses it. With a2wsgi hidden, Uvicorn uses its own code.
HIDE = "import sys; sys.modules['a2wsgi'] = None; from uvicorn.main import main; main()"
WITHOUT_A2WSGI = ["python3", "-c", HIDE]

# A server's own command for an application of each interface, without an adapter of this project.
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

# The form that the talk gives. All five servers listen on port 8000 by default.
BARE = {
    (server, interface): [server, APPS[interface]]
    for server in ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian")
    for interface in ("wsgi", "asgi")
}
