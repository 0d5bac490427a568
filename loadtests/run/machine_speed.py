"""How fast the stack's cores are while a window lasts: by a fixed piece of work, done again and again beside it.

On a shared machine the same request costs up to twice the CPU time while a neighbour uses the other half of the
physical core, or its cache. No counter of the kernel shows that, and it changes within a second. So a process on each
of the stack's cores does the same few things a hundred times a second (a loop, some parsing, some bytes through a
socket) and takes the CPU time of each turn: the measure that `records` applies to what a window cost.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import IO, cast

PAUSE = 0.01  # seconds between two turns: about 2 % of a core
DOCUMENT = '{"customer": "ana@example.org", "lines": [{"article": "A-0001", "pieces": 3, "cents": 995}]}'


def work(times: int, near: socket.socket, far: socket.socket) -> None:
    """The piece of work, some times: the interpreter, the allocator and the kernel each have a third of it."""
    for number in range(70 * times):
        number * number % 7
    for _ in range(2 * times):
        json.loads(DOCUMENT)
    for _ in range(times):
        near.send(b"x")
        far.recv(1)


class Gauge:
    """The process on one core, as seen from the bench."""

    def __init__(self, core: int) -> None:
        command = [sys.executable, "-m", "loadtests.run.machine_speed", str(core)]
        # In a session of its own: Ctrl-C is for the bench, which ends this process when it is done.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.told, self.said = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def read(self) -> tuple[float, float]:
        """CPU time of one turn (µs, the mean since the last reading), and all that the process has used (seconds)."""
        self.told.write("\n")
        self.told.flush()
        turn, used = json.loads(self.said.readline())
        return turn, used

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.communicate()


def main() -> None:
    """Turns without end, and for each line the mean of those since the last one."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    lock, pair, turns = threading.Lock(), socket.socketpair(), [0, 0]

    def turn() -> None:
        while True:
            time.sleep(PAUSE)
            work(1, *pair)  # what another process has pushed out of the caches is that process's cost
            began = time.thread_time_ns()
            work(6, *pair)
            with lock:
                turns[:] = turns[0] + 1, turns[1] + time.thread_time_ns() - began

    threading.Thread(target=turn, daemon=True).start()
    for _ in sys.stdin:
        with lock:
            count, spent = turns
            turns[:] = 0, 0
        print(json.dumps([spent / count / 1000 if count else 0.0, time.process_time()]), flush=True)


if __name__ == "__main__":
    main()
