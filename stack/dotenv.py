"""The user's .env file, and .env.example, which lists every setting."""

import re
from collections.abc import Mapping
from functools import cache

from stack import ROOT


def read_dotenv() -> dict[str, str]:
    """The `NAME=value` lines of .env, which Compose reads too; empty without the file."""
    file = ROOT / ".env"
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): unquote(value.strip()) for name, mark, value in pairs if mark}


def unquote(value: str) -> str:
    """A value as Compose reads it: without its quotes; an unquoted value ends where a comment begins."""
    quoted = re.match(r"""(['"])(.*?)\1""", value)
    return quoted[2] if quoted else re.split(r"(?:^|\s)#", value)[0].strip()


def overlay(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of .env, with those of `environ` on top. An empty variable counts as not set."""
    return {**read_dotenv(), **{name: value for name, value in environ.items() if value}}


@cache
def list_settings() -> frozenset[str]:
    """The name of every setting: the lines of .env.example. Empty without that file."""
    file = ROOT / ".env.example"
    return frozenset(re.findall(r"^#([A-Z_]+)=", file.read_text(), re.MULTILINE)) if file.is_file() else frozenset()
