"""How fast the stack's cores are while a window lasts, from a fixed piece of work beside it.

On a shared machine a neighbour may use the other half of the physical core, or its cache. Then the same request costs
up to twice the CPU time. No counter of the kernel shows this, and it changes within a second. So a process on each of
the stack's cores does a fixed piece of work a hundred times a second: a loop, some parsing, some bytes through a
socket. It measures the CPU time of each turn. `loadtests/analysis` divides the CPU times of windows by this measure.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import IO, NamedTuple, cast

PAUSE = 0.01  # seconds between two turns: about 2 % of a core
TIMES = 6  # the piece of work in each turn
DOCUMENT = '{"customer": "ana@example.org", "lines": [{"article": "A-0001", "pieces": 3, "cents": 995}]}'


class ProbeReading(NamedTuple):
    """`work` is the mean CPU time of a turn since the last reading, in µs; `cpu` that of the process, in seconds."""

    work: float
    cpu: float


class SpeedProbe:
    """The process on one core, as the bench sees it."""

    def __init__(self, core: int) -> None:
        command = [sys.executable, "-m", "loadtests.run.machine_speed", str(core)]
        # In a session of its own, so that Ctrl-C reaches the bench only. The bench ends this process.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.stdin, self.stdout = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def read(self) -> ProbeReading:
        """What the probe has measured since the last reading."""
        self.stdin.write("\n")
        self.stdin.flush()
        return ProbeReading(*json.loads(self.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.communicate()


def do_work(times: int, near: socket.socket, far: socket.socket) -> None:
    """Does the piece of work some times. The interpreter, the allocator and the kernel each have a third of it."""
    for number in range(70 * times):
        number * number % 7
    for _ in range(2 * times):
        json.loads(DOCUMENT)
    for _ in range(times):
        near.send(b"x")
        far.recv(1)


class Turns:
    """Counts turns and their CPU time, in a thread of its own."""

    def __init__(self) -> None:
        self.lock, self.count, self.nanoseconds = threading.Lock(), 0, 0

    def run(self) -> None:
        """Does a turn after each pause, without end."""
        pair = socket.socketpair()
        while True:
            time.sleep(PAUSE)
            do_work(1, *pair)  # refills the caches that another process has used, which is no cost of this work
            begin = time.thread_time_ns()
            do_work(TIMES, *pair)
            with self.lock:
                self.count += 1
                self.nanoseconds += time.thread_time_ns() - begin

    def read_and_reset(self) -> ProbeReading:
        """The turns since the last reading."""
        with self.lock:
            count, nanoseconds = self.count, self.nanoseconds
            self.count = self.nanoseconds = 0
        return ProbeReading(nanoseconds / count / 1000 if count else 0.0, time.process_time())


def main() -> None:
    """Runs on the core that the argument names, and answers each line of stdin with a reading."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    turns = Turns()
    threading.Thread(target=turns.run, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(turns.read_and_reset()), flush=True)


if __name__ == "__main__":
    main()
