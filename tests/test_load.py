"""The door for applications: how APP is read, which interface an application has, and where its packages are named."""

import asyncio
import functools
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from apps.runtime import assets, dependencies, gateway, load, log_request_id, serve

HEADERS = [(b"host", b"localhost"), (b"x-request-id", b"id-7")]


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pass


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


class AsgiInNames:
    """An application whose call is no coroutine function, but returns a coroutine."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return asgi(scope, receive, send)


@functools.wraps(asgi)
def wrapped(*arguments: Any, **keywords: Any) -> Any:
    return asgi(*arguments, **keywords)


class Holder:
    """Holds an application as a method."""

    def __init__(self, app: Any) -> None:
        self.held = app.__call__ if isinstance(app, Wsgi | Asgi) else app


def anything(*arguments: Any) -> Any:
    return None


def made_of(app: Any) -> dict[str, Any]:
    """The forms in which a project can hold an application."""
    return {"itself": app, "partial": functools.partial(app), "method": Holder(app).held}


FORMS = {
    **{f"wsgi function {name}": (form, "wsgi") for name, form in made_of(wsgi).items()},
    **{f"wsgi object {name}": (form, "wsgi") for name, form in made_of(Wsgi()).items()},
    **{f"asgi function {name}": (form, "asgi") for name, form in made_of(asgi).items()},
    **{f"asgi object {name}": (form, "asgi") for name, form in made_of(Asgi()).items()},
    "asgi without async": (AsgiInNames(), "asgi"),
    "asgi decorated": (wrapped, "asgi"),
    "gateway of asgi": (gateway.Asgi(asgi), "asgi"),
    "gateway of wsgi": (gateway.Wsgi(wsgi), "wsgi"),
    "anything": (anything, ""),
    **{
        f"{interface} {name}": (import_module(f"apps.{interface}.{name}").app, interface)
        for interface in serve.INTERFACES
        for name in serve.apps(interface)
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_the_interface_is_read_from_how_an_application_is_called(form: str) -> None:
    app, interface = FORMS[form]
    assert load.find_interface(app) == interface


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project on the path, with a package `shop`."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/main.py").write_text(
        "def application(environ, start_response): return []\n"
        "def create_app(name='x', *, debug=False):\n"
        "    def app(environ, start_response): return [name, debug]\n"
        "    return app\n"
        "class site:\n    app = staticmethod(application)\n"
        "number = 3\n"
    )
    (tmp_path / "shop/broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(load, "PROJECT", str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


RIGHT = {
    "shop.main:application": [],
    "shop.main:site.app": [],
    "shop.main:create_app()": ["x", False],
    "shop.main:create_app('y')": ["y", False],
    'shop.main:create_app(name="z", debug=True)': ["z", True],
}
WRONG = {
    "nowhere:app": "there is no module nowhere; ",
    "shop.nowhere:app": "there is no module shop.nowhere; ",
    "shop.main.deeper:app": "there is no module shop.main.deeper; ",
    "shop.main:app": "shop.main has no app; it has application, create_app, site",
    "shop.main:site.nothing": "shop.main has no site.nothing; it has ",
    "shop.main:number": "number is no application but int: give a callable",
    "shop.main:": "is not an application: give module:attribute or module:factory()",
    "shop.main:1+2": "is not an application: give module:attribute or module:factory()",
    "shop.main:create_app(open('x'))": "is not an application: give module:attribute or module:factory()",
    "shop.broken:app": "cannot be imported: ",
}


@pytest.mark.parametrize("app", RIGHT)
def test_an_application_is_named_as_servers_name_it(project: Path, monkeypatch: pytest.MonkeyPatch, app: str) -> None:
    monkeypatch.setenv("APP", app)
    monkeypatch.delenv("INTERFACE", raising=False)
    assert load.load()({}, None) == RIGHT[app] and load.check() == "wsgi"


@pytest.mark.parametrize("app", WRONG)
def test_what_is_no_application_is_said_in_a_line(project: Path, monkeypatch: pytest.MonkeyPatch, app: str) -> None:
    monkeypatch.setenv("APP", app)
    with pytest.raises(load.LoadError) as refused:
        load.check()
    assert str(refused.value).startswith(f"APP={app}") and WRONG[app] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_module_that_is_missing_inside_the_project_is_no_missing_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "shop/__init__.py").write_text("import nothing_of_that_name\n")
    monkeypatch.setenv("APP", "shop.main:application")
    with pytest.raises(load.LoadError, match="nothing_of_that_name"):
        load.check()


@pytest.mark.parametrize(
    ("kind", "address", "is_refused"),
    [
        (socket.SOCK_STREAM, ("0.0.0.0", 8000), True),
        (socket.SOCK_STREAM, ("::", 5000, 0, 0), True),
        (socket.SOCK_STREAM, ("127.0.0.1", 0), False),
        (socket.SOCK_DGRAM, ("127.0.0.1", 8125), False),
        (socket.SOCK_STREAM, "/tmp/socket", False),
    ],
)
def test_an_application_that_listens_at_its_import_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: int, address: Any, is_refused: bool
) -> None:
    monkeypatch.setenv("APP", "shop.main:app")
    with socket.socket(type=kind) as listener:
        expected = pytest.raises(load.LoadError, match="itself when it is imported") if is_refused else nullcontext()
        with expected:
            load.refuse_to_listen("socket.bind", (listener, address))


def test_a_link_out_of_the_image_is_no_static_file(tmp_path: Path) -> None:
    source, volume = tmp_path / "public", tmp_path / "volume"
    source.mkdir()
    (source / "site.css").write_text("body {}")
    (source / "again.css").symlink_to("site.css")
    (source / "secret.css").symlink_to("/proc/self/environ")
    assert assets.copy(source, volume) == 2
    assert {path.name for path in volume.iterdir()} == {"site.css", "again.css"}


# What a project can hold, and what the packages are then read from.
PYPROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["bottle"]\n'
POETRY = (
    '[tool.poetry.dependencies]\npython = "^3.12"\nbottle = "^0.13"\nflask = {version = "^3", extras = ["async"]}\n'
)
LOCK = '[[package]]\nname = "bottle"\nversion = "0.13.4"\n'
LOCK += '[[package]]\nname = "shop"\nversion = "1"\nsource = { virtual = "." }\n'
PROJECTS: dict[str, tuple[dict[str, str], str, str]] = {
    "nothing": ({}, "", ""),
    "requirements": ({"requirements.txt": "bottle\n"}, "requirements.txt", ""),
    "nested": (
        {"requirements.txt": "-r more/a.txt\n", "more/a.txt": "-c b.txt\nbottle\n", "more/b.txt": ""},
        "requirements.txt",
        "",
    ),
    "pyproject": ({"pyproject.toml": PYPROJECT}, "pyproject.toml", ""),
    "settings of tools": ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": "x"}, "requirements.txt", ""),
    "both": ({"pyproject.toml": PYPROJECT, "requirements.txt": "x"}, "requirements.txt", ""),
    "uv": ({"pyproject.toml": PYPROJECT, "uv.lock": LOCK, "requirements.txt": "x"}, "pyproject.toml", "bottle==0.13.4"),
    "poetry": ({"pyproject.toml": POETRY, "poetry.lock": LOCK}, "poetry.txt", "bottle==0.13.4"),
    "wheel": ({"shop-1-py3-none-any.whl": ""}, "./shop-1-py3-none-any.whl", ""),
}


@pytest.mark.parametrize("kind", PROJECTS)
def test_the_packages_of_a_project_are_found(tmp_path: Path, kind: str) -> None:
    files, source, constraints = PROJECTS[kind]
    for name, text in files.items():
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).write_text(text)
    (tmp_path / "app").mkdir(exist_ok=True)
    dependencies.collect(tmp_path / "app", tmp_path / "packages", tmp_path / "app")
    assert (tmp_path / "packages/sources").read_text().strip() == source
    seen = tmp_path / "packages/constraints.txt"
    assert (seen.read_text() if seen.is_file() else "") == constraints
    for name in (name for name in files if name.startswith("more/")):
        assert (tmp_path / "packages" / name).is_file()


def test_an_image_gets_no_secret_and_no_environment_of_the_developers(tmp_path: Path) -> None:
    left_out = [*sorted(dependencies.LEFT_OUT), ".env.local", "deep/.env", "deep/__pycache__"]
    kept = [".env.example", "environment.py", "venv.py", "deep/git"]
    for name in [*left_out, *kept]:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    dependencies.prune(tmp_path, tmp_path)
    present = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir()}
    assert present == {*kept, "deep"}


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, list[str]]]:
    """A logger, and the lines that its handler writes."""
    log_request_id.install()
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, logger = Handler(), logging.getLogger("tests.request_id")
    logger.addHandler(handler)
    yield logger, lines
    logger.removeHandler(handler)
    log_request_id.current.set("")


def test_a_log_line_of_the_application_has_the_id_of_its_request(logger: tuple[logging.Logger, list[str]]) -> None:
    log, lines = logger

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(log.warning, "sold %s\nand more", "tea")
        log.warning(json.dumps({"sold": 1}))
        log.warning("{}")

    asyncio.run(gateway.Asgi(app)({"type": "http", "headers": HEADERS}, None, None))
    log.warning("between requests")

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        log.warning("by wsgi")
        return []

    gateway.Wsgi(wsgi_app)({"HTTP_X_REQUEST_ID": "id-8"}, None)
    assert lines == [
        "sold tea request_id=id-7\nand more",
        '{"sold": 1,"request_id":"id-7"}',
        '{"request_id":"id-7"}',
        "between requests",
        "by wsgi request_id=id-8",
    ]


def test_the_database_has_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"PGHOST": "postgres", "PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": "a b/@:"}
    assert serve.find_database(variables) == {"DATABASE_URL": "postgresql://app:a%20b%2F%40%3A@postgres/app"}
    assert serve.find_database(variables | {"PGPASSWORD": ""}) == {}
    assert serve.find_database(variables | {"DATABASE_URL": "sqlite://"}) == {}
    assert os.environ.get("DATABASE_URL") is None
