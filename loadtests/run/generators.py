"""The generators as the host sees them: one process a core in the generator's container, all asked at once."""

import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, cast

from loadtests.generator.orders import Observation, Order, read_observation, write_line
from stack import Problem

AGENT = ("python3", "-m", "loadtests.generator.agent")


class Generator:
    """One process in the generator's container, on one core; it runs loadtests/generator/agent.py."""

    def __init__(self, container: str, core: int) -> None:
        # By the command line, because `docker exec -i` connects stdin and stdout as pipes.
        command = ["docker", "exec", "-i", container, "taskset", "-c", str(core), *AGENT]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stdin, self.stdout = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def send(self, order: Order) -> None:
        """Has the process measure a window."""
        self.stdin.write(write_line(order))
        self.stdin.flush()

    def receive(self) -> Observation:
        """Waits for what the process saw in the window."""
        line = self.stdout.readline()
        if not line:
            raise Problem("the generator ended: its container has the reason")
        return read_observation(line)

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.communicate()


def measure_together(generators: Sequence[Generator], order: Order) -> Observation:
    """Has every generator measure its share of an order at the same time; their observations as one."""
    count = len(generators)
    share = replace(order, clients=max(1, order.clients // count), rate=order.rate / count)
    for generator in generators:
        generator.send(share)
    return merge([generator.receive() for generator in generators])


def merge(observations: Sequence[Observation]) -> Observation:
    """Several generators' observations as one.

    Percentiles cannot be averaged, so each percentile is the longest that a generator saw. If one generator failed, the
    window failed.
    """
    if failed := next((observation.failed for observation in observations if observation.failed), ""):
        return Observation(failed=failed)
    errors: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for observation in observations:
        errors.update(observation.errors)
        times.update(observation.times)
    names = {name for observation in observations for name in observation.latency}
    return Observation(
        seconds=max(observation.seconds for observation in observations),
        requests=sum(observation.requests for observation in observations),
        errors=dict(errors),
        latency={name: max(observation.latency.get(name, 0) for observation in observations) for name in names},
        times=dict(times),
        corrected=observations[0].corrected,
        cpu=sum(observation.cpu for observation in observations),
        clients=sum(observation.clients for observation in observations),
    )
