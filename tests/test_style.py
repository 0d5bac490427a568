"""The Python here stays short and speaks the field's words: the limits that CONTRIBUTING.md names."""

import ast
import subprocess
from collections.abc import Iterator

import pytest

from stack import ROOT

FUNCTION_LINES, FILE_LINES = 60, 400
# Words that name nothing: a noun says what the thing is.
EMPTY_NAMES = {"one", "ones", "found", "said", "told", "wanted", "mine", "whole", "asked"}
# Former names of things that have the field's name now; the list is CONTRIBUTING.md's.
FORMER_WORDS = ("twin", "gauge", "dearer", "gated")
FILES = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PYTHON = [name for name in FILES if (ROOT / name).is_file()]
RECORDS_OF_BEFORE = {"loadtests/window.py", "loadtests/run/run_folder.py", "loadtests/analysis/records.py"}


def list_names(tree: ast.AST) -> Iterator[str]:
    """Every name that a file gives to a variable, a parameter or a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("name", PYTHON)
def test_a_file_is_short_and_its_names_say_what_things_are(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.count("\n") <= FILE_LINES, "split it by subject"
    tree = ast.parse(text)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {function: lines for function, lines in lengths.items() if lines > FUNCTION_LINES} == {}
    names = set(list_names(tree))
    assert names & EMPTY_NAMES == set(), "a noun says what the thing is"
    if name not in RECORDS_OF_BEFORE:
        former = {each for each in names for word in FORMER_WORDS if word in each.lower().split("_")}
        assert former == set(), "CONTRIBUTING.md has the word of now"


def test_the_limits_are_seen_to_be_broken() -> None:
    tree = ast.parse("def told(one):\n    found, dearer_app = one, 1\n")
    assert set(list_names(tree)) & EMPTY_NAMES == {"told", "one", "found"}
