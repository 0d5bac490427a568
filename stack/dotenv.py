"""The settings in the user's .env file, as Compose reads them, and .env.example, which lists every setting."""

import json
import os
import re
from collections.abc import Mapping
from functools import cache

from stack import ROOT, Problem, engine

NAME = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:]", re.MULTILINE)


def overlay(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of .env, with those of `environ` on top, by Compose's own rules. An empty one counts as not set."""
    settings = dict(environ)
    if (ROOT / ".env").is_file() or os.environ.get("COMPOSE_ENV_FILES"):
        names = read_names() | list_settings()
        settings |= interpolate(tuple(sorted(environ.items())), tuple(sorted(names)), read_text(".env"))
    return {name: value for name, value in settings.items() if value}


@cache
def interpolate(environ: tuple[tuple[str, str], ...], names: tuple[str, ...], text: str) -> dict[str, str]:
    """What Compose puts in the place of `${NAME}`, for each name. `text`: .env, a change of which is read."""
    model = {"services": {"settings": {"image": "none", "environment": {name: f"${{{name}-}}" for name in names}}}}
    command = ["docker", "compose", "--file", "-", "config", "--format", "json"]
    done = engine.run(*command, cwd=ROOT, env=dict(environ), input=json.dumps(model))
    if done.returncode != 0:
        raise Problem(f".env cannot be read: {' '.join(done.stderr.split())}")
    values: dict[str, str] = json.loads(done.stdout)["services"]["settings"]["environment"]
    return {name: value.replace("$$", "$") for name, value in values.items()}


def read_names() -> set[str]:
    """The names that .env sets; empty without the file."""
    return set(NAME.findall(read_text(".env")))


@cache
def list_settings() -> frozenset[str]:
    """The name of every setting: the lines of .env.example. Empty without that file."""
    return frozenset(re.findall(r"^#([A-Z_]+)=", read_text(".env.example"), re.MULTILINE))


def read_text(name: str) -> str:
    """The text of a file of this folder; "" where it is missing."""
    file = ROOT / name
    return file.read_text(errors="replace") if file.is_file() else ""
