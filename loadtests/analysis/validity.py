"""The validity rules: each marks a measurement window as invalid.

The figures of an invalid window do not count. The window stays in the report, with the rule that it breaks and the
reason.
"""

import math
from enum import StrEnum

from loadtests.window import Invalidity, Window

MOST_SATURATION = 0.9  # share of the generator's cores
LEAST_DELIVERED = 0.98  # share of the offered rate
MOST_OTHERS = 0.1  # share of the stack's cores or the generator's, whichever are fewer
FLIGHT_TOLERANCE = 0.1  # requests in flight may differ by this share from the connections of a closed loop


class ValidityRule(StrEnum):
    """The rules, by the name that records and reports use."""

    ERRORS = "errors"  # every request was answered rightly
    GENERATOR = "generator"  # the stack was the limit, and the generator had time left
    RATE = "rate"  # the offered rate was delivered
    LITTLES_LAW = "Little's law"  # throughput × mean time is the number of connections
    RESTART = "restart"  # no container ended
    THROTTLED = "throttled"  # the kernel throttled no container
    MACHINE = "machine"  # other processes and the hypervisor used few of the cores
    START = "start"  # the server came up
    GENERATOR_FAILED = "generator failed"  # the generator did not end


# CPU time and memory belong to one container. They count in a window that breaks only these rules, unless others used
# more than MOST_OTHERS_FOR_CONTAINER of the cores. Below this share a request cost the same within 10 %. Above it, a
# request cost up to 75 % more.
TOLERATED_FOR_CONTAINER = (ValidityRule.GENERATOR, ValidityRule.MACHINE)
MOST_OTHERS_FOR_CONTAINER = 0.5


def find_invalidities(window: Window, restarts: int = 0, throttled: int = 0) -> list[Invalidity]:
    """The rules that a measured window breaks, each with its reason; empty for a valid window.

    `restarts` counts containers that ended during the window, `throttled` how often the kernel throttled one.
    """
    reasons = {
        ValidityRule.ERRORS: describe_errors(window),
        ValidityRule.GENERATOR: describe_saturation(window),
        ValidityRule.RATE: describe_missed_rate(window),
        ValidityRule.LITTLES_LAW: describe_contradiction(window),
        ValidityRule.RESTART: f"a container ended {restarts} time{'s' * (restarts > 1)}" if restarts else "",
        ValidityRule.THROTTLED: f"the kernel throttled a container {throttled} times" if throttled else "",
        ValidityRule.MACHINE: describe_others(window),
    }
    return [Invalidity(rule.value, reason) for rule, reason in reasons.items() if reason]


def describe_errors(window: Window) -> str:
    """Wrong answers by kind, or that there was no answer."""
    if wrong := sum(window.errors.values()):
        kinds = ", ".join(f"{kind} ({count})" for kind, count in window.errors.items())
        return f"{wrong} of {window.requests + wrong}: {kinds}"
    return "" if window.requests else "nothing was answered"


def describe_saturation(window: Window) -> str:
    """A generator that could not send more."""
    if window.saturation <= MOST_SATURATION:
        return ""
    return f"its cores were busy for {window.saturation:.0%} of the time: it could not ask for more"


def describe_missed_rate(window: Window) -> str:
    """An offered rate that was not delivered."""
    if not window.offered or (share := window.requests / window.seconds / window.offered) >= LEAST_DELIVERED:
        return ""
    return f"{share:.0%} of the offered {window.offered:g} requests/s were delivered"


def describe_contradiction(window: Window) -> str:
    """A closed loop whose throughput and times contradict each other, by Little's law."""
    if window.cell.mode != "ceiling" or not window.requests:
        return ""
    in_flight = window.requests / window.seconds * window.latency["mean"] / 1000
    most = math.inf if window.corrected else 1 + FLIGHT_TOLERANCE  # corrected times are longer than the real ones
    if 1 - FLIGHT_TOLERANCE <= in_flight / window.clients <= most:
        return ""
    return f"{in_flight:.1f} requests in flight on {window.clients} connections"


def describe_others(window: Window) -> str:
    """Cores that other processes or the hypervisor used."""
    if window.others <= MOST_OTHERS:
        return ""
    return f"others used up to {window.others:.0%} of the stack's or the generator's cores"
