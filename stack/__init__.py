"""What `make` does for a deployment: finds the engine, builds the images, starts, swaps and removes a stack.

Standard library only, because these commands run before anything is installed.
"""

import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = f"stack-{zlib.crc32(str(ROOT).encode()):08x}"  # names the images of the tests and the bench


class Problem(Exception):
    """What stops a command, as one line for the user: what is wrong, and what would be right."""
