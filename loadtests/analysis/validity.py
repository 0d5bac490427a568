"""What makes a window say less than it seems to: it stays in the report, marked with the reason."""

import math

from loadtests.window import Invalidity, Window

SATURATED = 0.9  # of the generator's cores, whoever uses them
DELIVERED = 0.98  # of the offered rate
OTHERS = (
    0.1  # of the stack's cores or the generator's, whichever are fewer, used by others: processes, or the hypervisor
)
LITTLE = 0.1  # how far requests in flight (throughput × mean time) may be from the connections of a closed loop


def find_invalidities(window: Window, restarts: int = 0, throttled: int = 0) -> list[Invalidity]:
    """Every reason not to count a window, each with its name and figures; empty where it counts."""
    seconds, requests, errors = window.seconds, window.requests, window.errors
    found: list[Invalidity] = []

    def gate(rule: str, reason: str) -> None:
        found.append(Invalidity(rule, reason))

    if wrong := sum(errors.values()):
        kinds = ", ".join(f"{what} ({count})" for what, count in errors.items())
        gate("errors", f"{wrong} of {requests + wrong}: {kinds}")
    elif not requests:
        gate("errors", "nothing was answered")
    if window.saturation > SATURATED:
        gate("generator", f"its cores were busy for {window.saturation:.0%} of the time: it could not ask for more")
    if window.offered and (share := requests / seconds / window.offered) < DELIVERED:
        gate("rate", f"{share:.0%} of the offered {window.offered:g} requests/s were delivered")
    if window.cell.mode == "ceiling" and requests:
        flight = requests / seconds * window.latency["mean"] / 1000
        high = math.inf if window.corrected else 1 + LITTLE  # wrk's times are longer than they were
        if not 1 - LITTLE <= flight / window.clients <= high:
            gate("Little's law", f"{flight:.1f} requests in flight on {window.clients} connections")
    if restarts:
        gate("restart", f"a container ended {restarts} time{'s' if restarts > 1 else ''}")
    if throttled:
        gate("throttled", f"the kernel held a container back {throttled} times: its CPU limit")
    if window.others > OTHERS:
        gate("machine", f"others used up to {window.others:.0%} of the stack's or the generator's cores")
    return found
