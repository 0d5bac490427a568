"""One Locust file, one question: the first line of its docstring is the heading in the report.

Each class that is not abstract is a user that is measured; where a file has several, their names tell them apart, and
their docstrings are the sub-headings. `PLAN` is what `make bench SCENARIOS=<file>` measures where it is not told. What
a user is measured with stands in its class, as plain values (`DEFAULTS`).

The files need Locust, which only the generator's image has: here they are read, not imported.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
DEFAULTS: dict[str, Any] = {
    "modes": ("rate", "ceiling"),
    "tool": "wrk",  # of the ceiling: wrk, or locust for what is no request and reply
    "alone": (),  # the proxies that can answer it by themselves
    "clients": 16,  # connections
    "offered": 200,  # requests a second of all clients together, in the mode "rate"
    "seconds": 0.85,  # a window; the engine's counters tick once a second
}


class Scenario(NamedTuple):
    """A file: its question, what it is measured with by default, and the facts of each user by class name."""

    name: str
    question: str
    plan: dict[str, str]
    users: Mapping[str, Mapping[str, Any]]

    def user(self, variant: str) -> Mapping[str, Any]:
        """A variant's facts; "" is the only user."""
        return self.users[variant] if variant else next(iter(self.users.values()))

    @property
    def variants(self) -> list[str]:
        """The names that tell the users apart; one empty name where there is only one."""
        return list(self.users) if len(self.users) > 1 else [""]


@cache
def scenarios() -> dict[str, Scenario]:
    """Every scenario by name."""
    return {file.stem: read(file) for file in sorted(HERE.glob("[a-z]*.py"))}


def read(file: Path) -> Scenario:
    """What a file says of itself."""
    tree = ast.parse(file.read_text())
    classes: dict[str, dict[str, Any]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [classes.get(ast.unparse(base), {}) for base in node.bases]
            inherited = {name: value for base in bases for name, value in base.items() if name != "abstract"}
            doc = (ast.get_docstring(node) or "").partition("\n")[0]
            classes[node.name] = DEFAULTS | inherited | literals(node.body) | {"doc": doc}
    plan: dict[str, str] = literals(tree.body).get("PLAN", {})
    users = {name: facts for name, facts in classes.items() if not facts.get("abstract")}
    return Scenario(file.stem, (ast.get_docstring(tree) or "").partition("\n")[0], plan, users)


def literals(body: list[ast.stmt]) -> dict[str, Any]:
    """Names that are given a plain value."""
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found
