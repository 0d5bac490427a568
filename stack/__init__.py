"""What `make` does for a deployment: finds the engine, builds the images, starts, swaps and removes a stack.

Standard library only, because these commands run before anything is installed.
"""

import sys
import zlib
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - every command imports this first, with whatever Python make finds
    sys.exit(f"Python {sys.version.split()[0]} is too old: install Python 3.11 or later")

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = f"stack-{zlib.crc32(str(ROOT).encode()):08x}"  # names the images of the tests and the bench


class Problem(Exception):
    """What stops a command, as one line for the user: what is wrong, and what would be right."""

    status = 1  # of the command
