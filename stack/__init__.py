"""The stack as seen from the host: the engine, the base images, and what `make` does with compose.

Standard library only: it runs before anything is installed.
"""

import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = f"stack-{zlib.crc32(str(ROOT).encode()):08x}"  # the name of the images that only tests and measurements use


class Problem(Exception):
    """What stops a command, in one line for the user: what is wrong and what would be right."""
