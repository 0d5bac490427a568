"""The questions: each file is one, and its docstring's first line is the heading in the report.

Each class that is not abstract is a user that is measured. Where a file has several, their class names tell them apart,
and their docstrings are the sub-headings. A user's class says with plain values how the user is measured (`UserFacts`).
`PLAN` has the bench's variables for this scenario; the command line comes before them.

The scenarios need Locust, which only the generator's image has. So the host does not import them, but parses them.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

FOLDER = Path(__file__).parent


class UserFacts(TypedDict):
    """How a user is measured, from the plain values in its class.

    `doc` is the first line of the class's docstring. `modes` are `rate` and `ceiling`, or one of them. `tool` measures
    the ceiling: `wrk`, or `locust` for what is more than a request and its reply. `own_answer` names the proxies that
    can answer by themselves, without an application. `clients` are connections. `offered` is the rate of all clients
    together in the mode `rate` (requests/s). `seconds` is the length of a window. `path` is what the user asks for.
    `companions` are the slow clients beside the users.
    """

    doc: str
    modes: tuple[str, ...]
    tool: str
    own_answer: tuple[str, ...]
    clients: int
    offered: float
    seconds: float
    path: NotRequired[str]
    companions: NotRequired[int]


DEFAULTS: UserFacts = {
    "doc": "",
    "modes": ("rate", "ceiling"),
    "tool": "wrk",
    "own_answer": (),
    "clients": 16,
    "offered": 200,
    "seconds": 0.85,  # the engine counts once a second, so a window ends before the next tick
}


class Scenario(NamedTuple):
    """A file: its question, its variables for the bench, and the facts of each user by class name."""

    name: str
    question: str
    plan: dict[str, str]
    users: Mapping[str, UserFacts]

    def user(self, variant: str) -> UserFacts:
        """The facts of a variant; "" is the only user."""
        return self.users[variant] if variant else next(iter(self.users.values()))

    @property
    def variants(self) -> list[str]:
        """The names that tell the users apart; one empty name where there is only one."""
        return list(self.users) if len(self.users) > 1 else [""]


@cache
def scenarios() -> dict[str, Scenario]:
    """Every scenario by name."""
    return {file.stem: read_scenario(file) for file in sorted(FOLDER.glob("[a-z]*.py"))}


def read_scenario(file: Path) -> Scenario:
    """The scenario in a file."""
    tree = ast.parse(file.read_text())
    classes: dict[str, dict[str, Any]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [classes.get(ast.unparse(base), {}) for base in node.bases]
            inherited = {name: value for base in bases for name, value in base.items() if name != "abstract"}
            doc = (ast.get_docstring(node) or "").partition("\n")[0]
            classes[node.name] = {**DEFAULTS, **inherited, **find_plain_values(node.body), "doc": doc}
    plan: dict[str, str] = find_plain_values(tree.body).get("PLAN", {})
    users = {name: cast(UserFacts, facts) for name, facts in classes.items() if not facts.get("abstract")}
    return Scenario(file.stem, (ast.get_docstring(tree) or "").partition("\n")[0], plan, users)


def find_plain_values(body: list[ast.stmt]) -> dict[str, Any]:
    """The names to which a body assigns a literal, with their values."""
    values = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return values
