"""Runs APP_BUILD, which ends the build of an own application's image, with the variables of APP_ENV_FILE.

The file is a secret of the build. Compose reads the same file for the container, so it is read here by Compose's rules,
which are not a shell's: `NAME=two words` needs no quotes. https://docs.docker.com/reference/compose-file/services/#env_file
Checked by: test_a_build_step_reads_variables_as_compose_does
"""

import os
import re
import sys
from pathlib import Path

VARIABLES = Path("/run/secrets/environment")
LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[=:][ \t]*"""
    r"""(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\n]*))""",
    re.MULTILINE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_variables(text: str) -> dict[str, str]:
    """The variables of a file of NAME=value lines. A value with a dollar sign needs single quotes."""
    variables = {}
    for name, literal, escaped, plain in LINE.findall(text):
        if literal:
            value = literal.replace("\\'", "'")
        elif escaped:
            value = re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), escaped, flags=re.DOTALL)
        else:
            value = re.sub(r"[ \t]#.*", "", plain).strip()
        variables[name] = value
    return variables


def main() -> None:
    """Replaces this process by the command."""
    text = VARIABLES.read_text() if VARIABLES.is_file() else ""
    os.execvpe("sh", ["sh", "-euc", os.environ["APP_BUILD"]], {**os.environ, **read_variables(text)})


if __name__ == "__main__":
    if os.environ.get("APP_BUILD"):
        main()
    sys.exit(0)
