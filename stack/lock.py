"""Lets one command at a time change the stack of this checkout."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from stack import ROOT, Problem


@contextmanager
def hold_lock() -> Iterator[None]:
    """`Problem` while another command that changes the stack runs. Each would remove what the other has made.

    The lock is on the folder itself, so nothing is written. It ends with the process, however that ends.
    """
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("another `make up`, `make down` or `make destroy` runs in this folder: wait for it") from None
        yield
    finally:
        os.close(folder)
