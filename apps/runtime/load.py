"""Loads the application that APP names: the one door through which every server gets it.

APP is `module:attribute`, or a factory with its arguments, `module:create_app()`. The name of a demonstration (`bare`)
is short for `apps.<interface>.bare:app`. The modules `asgi` and `wsgi` beside this one hold what `load` returns.

`python3 -m app_runtime.load` says which interface the application has, or in one line why it cannot be loaded.
"""

import ast
import errno
import inspect
import os
import socket
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import log_request_id

ARTICLES = {"asgi": "an", "wsgi": "a"}
PROJECT = "/app"  # the folder of an own app in its image


class LoadError(Exception):
    """The application cannot be loaded. The message says why, and what would be right."""


def name_target(app: str, interface: str) -> str:
    """The `module:attribute` of an application; a demonstration is named without its module."""
    return app if ":" in app else f"apps.{interface}.{app}:app"


def load(interface: str = "") -> Any:
    """The application that APP names, as its module has it. An import that fails raises what the module raises."""
    target = name_target(os.environ["APP"], interface)
    module_name, _, expression = target.partition(":")
    try:
        is_missing = find_spec(module_name) is None
    except ModuleNotFoundError as error:  # of a package above it, or of what that package imports
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        is_missing = True
    if is_missing:
        raise LoadError(f"APP={target}: there is no module {module_name}; {PROJECT} holds {list_modules()}")
    module = import_module(module_name)
    name, arguments, keywords = read_expression(target, expression)
    app: Any = module
    for part in name.split("."):
        app = getattr(app, part, None)
        if app is None:
            raise LoadError(f"APP={target}: {module_name} has no {name}; it has {list_callables(module)}")
    if not callable(app):
        raise LoadError(f"APP={target}: {name} is no application but {type(app).__name__}: give a callable")
    if arguments is None:
        return app
    made = app(*arguments, **keywords)
    if inspect.iscoroutine(made) or not callable(made):
        raise LoadError(f"APP={target}: {name}() returns {type(made).__name__}, which is no application")
    return made


def read_expression(target: str, expression: str) -> tuple[str, list[Any] | None, dict[str, Any]]:
    """The name in `name` or `name(…)`, and the arguments of the call; None where there is no call."""
    wrong = LoadError(f"APP={target} is not an application: give module:attribute or module:factory()")
    try:
        node = ast.parse(expression, mode="eval").body
        if not isinstance(node, ast.Call):
            return read_name(node, wrong), None, {}
        arguments = [ast.literal_eval(value) for value in node.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        return read_name(node.func, wrong), arguments, keywords
    except (SyntaxError, ValueError):
        raise wrong from None


def read_name(node: ast.expr, wrong: LoadError) -> str:
    """A dotted name."""
    if not isinstance(node, (ast.Name, ast.Attribute)):
        raise wrong
    return ast.unparse(node)


def list_modules() -> str:
    """The modules at the top of the project, in words."""
    folders = [Path(PROJECT), Path(PROJECT, "src")]
    names = {path.stem for folder in folders for path in folder.glob("*.py")}
    names |= {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
    return ", ".join(sorted(names)) or "no module"


def list_callables(module: Any) -> str:
    """The callables of a module that are its own, in words."""
    own = (name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))
    return ", ".join(sorted(own)[:20]) or "no callable"


def find_interface(app: Any) -> str:
    """`asgi` or `wsgi`, from how the application is called; "" where that does not tell."""
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return "asgi"
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return ""
    counts = [count for count in (2, 3) if accepts(signature, count)]
    return {2: "wsgi", 3: "asgi"}[counts[0]] if len(counts) == 1 else ""


def accepts(signature: inspect.Signature, count: int) -> bool:
    """Whether a callable can be called with this number of positional arguments."""
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def accepts_nothing(app: Any) -> bool:
    """Whether a callable can be called without arguments, and not with those of an application: it may be a factory."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return False
    return accepts(signature, 0) and not any(accepts(signature, count) for count in (2, 3))


def is_read_only(error: BaseException) -> bool:
    """Whether the application wanted to write where its container cannot be written."""
    return isinstance(error, OSError) and error.errno == errno.EROFS


def refuse_to_listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuses a server that the application starts at its import: it would answer in the place of SERVER."""
    if event != "socket.bind" or arguments[0].type != socket.SOCK_STREAM or not isinstance(arguments[1], tuple):
        return
    if port := arguments[1][1]:
        raise LoadError(
            f"APP={os.environ['APP']} opens port {port} itself when it is imported: "
            "put that below `if __name__ == '__main__':`"
        )


def check() -> str:
    """The interface of the application that APP names; `LoadError` where it cannot be loaded."""
    stated = os.environ.get("INTERFACE", "")
    try:
        app = load(stated)
    except LoadError:
        raise
    except BaseException as error:
        traceback.print_exc()
        where = next(
            (f"{frame.filename}, line {frame.lineno}: " for frame in reversed(traceback.extract_tb(error.__traceback__))
             if frame.filename.startswith((PROJECT, "/srv/apps/asgi", "/srv/apps/wsgi"))), "",
        )  # fmt: skip
        advice = f" ({getattr(error, 'filename', '')}): write below /data (APP_DATA)" if is_read_only(error) else ""
        raise LoadError(f"APP={os.environ['APP']} cannot be imported: {where}{error!r}{advice}") from None
    seen = find_interface(app)
    if not seen and accepts_nothing(app):
        raise LoadError(f"APP={os.environ['APP']} is called without arguments: a factory is APP={os.environ['APP']}()")
    if not (seen or stated):
        raise LoadError(f"APP={os.environ['APP']}: nothing tells whether {app!r} is asgi or wsgi: give INTERFACE")
    if seen and stated and seen != stated:
        raise LoadError(f"APP={os.environ['APP']} is {ARTICLES[seen]} {seen} application: leave INTERFACE={stated} out")
    return stated or seen


def main() -> None:
    """Prints the application's interface as the last line."""
    sys.addaudithook(refuse_to_listen)
    try:
        print(check(), flush=True)
    except LoadError as error:
        print(f"serve: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # threads of the application may go on
    os._exit(0)


def wrap(interface: str, gateway: Any) -> Any:
    """The application inside its gateway. GATEWAY=no leaves it as it is, for measurements."""
    log_request_id.install()
    app = load(interface)
    return app if os.environ.get("GATEWAY") == "no" else gateway(app)


if __name__ == "__main__":
    main()
