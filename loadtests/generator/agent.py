"""Runs in the generator's container: a line of JSON in, a window measured, a line of JSON out.

It stays up for the whole run, so that no window pays for starting Python. `rate`: Locust as a library, with a
scenario's user on an open schedule. `ceiling`: wrk in a closed loop, h2load for HTTP/2, curl for HTTP/3, or Locust for
what none of them can do.

What is checked: Locust's users and wrk compare the status and every byte of each answer. Of a reply of more than 16 kB
wrk looks at the status, and compares the sum of all bytes with that of as many right answers; so do h2load and curl of
every reply. Before each window of these three, one answer is compared byte by byte over HTTP/1.1. Certificates are
verified by Locust's users and curl, not by wrk and h2load.
"""

import gevent.monkey

gevent.monkey.patch_all()  # as Locust does by itself, but before anything else is imported

import contextlib  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import re  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from array import array  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from locust.env import Environment  # noqa: E402

from loadtests.generator.lean_user import CA, PATIENCE, LeanUser  # noqa: E402
from loadtests.scenarios import scenarios  # noqa: E402

SCRIPT = "/srv/loadtests/generator/wrk.lua"
EACH = 16384  # bytes: wrk looks at every body up to this; it costs up to 6 % of its CPU, for a megabyte 60 %
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def user_of(wanted: dict[str, Any]) -> Any:
    """A scenario's user: the variant, or the only one that its file defines."""
    module = importlib.import_module(f"loadtests.scenarios.{wanted['scenario']}")
    name = wanted["variant"] or next(iter(scenarios()[wanted["scenario"]].users))
    user = getattr(module, name)
    user.host = wanted["url"]
    return user


def locust(wanted: dict[str, Any], rate: float) -> dict[str, Any]:
    """Requests of `clients` users for `seconds`, at a rate (per second, of all together; 0: in a closed loop).

    The window begins when all users are connected. Users that are not lean have no end of their own: they are stopped.
    """
    user, clients = user_of(wanted), wanted["clients"]
    user.rate, user.turns, user.go = rate / clients, clients, Event()
    user.begin, user.end, user.taken, LeanUser.count = 0.0, float("inf"), array("d"), 0
    lean, times = issubclass(user, LeanUser), user.taken
    environment = Environment(user_classes=[user])
    environment.events.request.add_listener(lambda response_time, **_: times.append(response_time / 1000))
    runner = environment.create_local_runner()
    begin = perf_counter()
    runner.start(clients, spawn_rate=clients, wait=True)
    while lean and LeanUser.count < clients and perf_counter() < begin + PATIENCE:
        gevent.sleep(0.001)
    used_before, begin = used(), perf_counter() if lean else begin
    user.begin, user.end = begin, begin + wanted["seconds"]
    user.go.set()
    gevent.sleep(user.end - perf_counter())
    while lean and runner.user_count and perf_counter() < user.end + 2 * PATIENCE:
        gevent.sleep(0.01)
    over, generator = perf_counter(), used() - used_before
    runner.quit()
    errors: Counter[str] = Counter()
    for one in environment.stats.errors.values():
        errors[f"{one.error}"] += one.occurrences
    return {
        "seconds": wanted["seconds"] if rate else over - begin,  # what is answered later was due before
        "requests": (environment.stats.total.num_requests - environment.stats.total.num_failures)
        * getattr(user, "messages", 1),
        "errors": dict(errors),
        "latency": percentiles(times),
        "generator": generator,
    } | ({"times": Counter(f"{time * 1000:.3g}" for time in times)} if rate else {})


def percentiles(seconds: "array[float] | list[float]") -> dict[str, float]:
    """Exact percentiles, in milliseconds; empty where nothing was answered."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    found = {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in PERCENTILES.items()}
    found |= {"max": ordered[-1], "mean": sum(ordered) / len(ordered)}
    return {name: round(value * 1000, 3) for name, value in found.items()}


def first(user: type[LeanUser]) -> int:
    """The size in bytes of one answer, checked by a user of the scenario; 0 where it can differ."""
    one = user(Environment(user_classes=[user]))
    one.on_start()
    try:
        one.exchange()
        return one.usual
    finally:
        one.on_stop()


def tool(command: list[str], seconds: float | None = None) -> str:
    """What a program prints; after `seconds` it is told to come to its end (SIGINT)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if seconds:
        gevent.spawn_later(seconds, process.send_signal, signal.SIGINT)
    said, _ = process.communicate()
    return said


@contextlib.contextmanager
def written(content: bytes) -> Iterator[str]:
    """The name of a file with that content."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def wrk(user: type[LeanUser], wanted: dict[str, Any]) -> dict[str, Any]:
    """wrk, which knows whole seconds only; told to end, it does so at the next tenth of a second.

    It corrects its times for coordinated omission, as if it had asked at a fixed rate: they are longer than they were.
    """
    size, small = first(user), len(user.reply) <= EACH
    with written(user.body) as body, written(user.reply if small else b"") as reply:
        command = ["wrk", "--threads", "1", "--connections", str(wanted["clients"]), "--timeout", f"{PATIENCE:.0f}s"]
        command += ["--duration", "600s", "--script", SCRIPT, wanted["url"] + user.path, "--"]
        command += [user.method, body, str(user.status), reply]
        said = tool(command + [f"{name}: {value}" for name, value in user.headers.items()], wanted["seconds"] - 0.09)
    try:
        found = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(f"wrk: {said.strip()[-300:]}") from None
    amount, count = found.pop("bytes"), found["requests"]
    if not small and not found["errors"] and abs(amount - count * size) > (wanted["clients"] + 1) * size:
        found["errors"] = {f"{amount} bytes in place of {count} x {size}": 1}
    return found | {"corrected": True}


def h2load(user: type[LeanUser], wanted: dict[str, Any]) -> dict[str, Any]:
    """h2load: as many connections as clients, and one request at a time on each, as with wrk."""
    first(user)
    with written(user.body) as body, tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "--alpn-list=h2", f"--clients={wanted['clients']}", "--max-concurrent-streams=1"]
        command += [f"--duration={wanted['seconds'] * 1000:.0f}ms", f"--log-file={log.name}"]
        command += [f"--header={name}: {value}" for name, value in user.headers.items()]
        command += [f"--data={body}"] if user.body else []
        said = tool([*command, wanted["url"] + user.path])
        lines = [line.split() for line in log]
    found = re.search(r"\((\d+)\) data", said)
    if not found or not lines:
        raise RuntimeError(f"h2load: {said.strip()[-300:]}")
    good = [int(spent) / 1e6 for _, status, spent in lines if status == str(user.status)]
    errors = dict(Counter(f"status {status}" for _, status, _ in lines if status != str(user.status)))
    if not errors and abs(int(found[1]) - len(good) * len(user.reply)) > wanted["clients"] * len(user.reply):
        errors = {f"{found[1]} bytes in place of {len(good)} x {len(user.reply)}": 1}
    seconds = (max(int(begun) + int(spent) for begun, _, spent in lines) - min(int(begun) for begun, *_ in lines)) / 1e6
    return {"seconds": seconds, "requests": len(good), "errors": errors, "latency": percentiles(good)}


def curl(user: type[LeanUser], wanted: dict[str, Any]) -> dict[str, Any]:
    """curl, as Debian's h2load has no HTTP/3: up to as many requests at a time as clients, on one connection.

    It has fewer under way, as it looks for what has ended before it begins more: `clients` says how many it had.
    NGINX ends a connection after 1000 requests: those that it has not begun, curl sends again on the next.
    """
    if user.method != "GET":
        raise RuntimeError("HTTP/3 is measured with GET only")
    line = "%{stderr}%{http_version} %{http_code} %{size_download} %{time_total}\n"  # stdout is lost at the end
    command = ["curl", "--silent", "--http3-only", "--cacert", CA, "--parallel"]
    command += ["--parallel-max", f"{wanted['clients']}", "--max-time", f"{PATIENCE}"]
    command += ["--retry", "1", "--retry-delay", "0.01", "--retry-all-errors"]
    command += ["--output", "/dev/null", "--write-out", line, f"{wanted['url']}{user.path}#[1-1000000]"]
    command += [part for name, value in user.headers.items() for part in ("--header", f"{name}: {value}")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    gevent.spawn_later(wanted["seconds"], process.send_signal, signal.SIGINT)
    said = process.stdout.readline() if process.stdout else ""
    began = perf_counter()  # of the second request: reading all certificates takes a while
    said += process.communicate()[0]
    seconds = perf_counter() - began
    lines = re.findall(r"^(\S+) (\d+) (\d+) ([\d.]+)$", said, re.MULTILINE)
    right = ("3", str(user.status), str(len(user.reply)))
    good = [float(spent) for *one, spent in lines if tuple(one) == right]
    if not good:
        raise RuntimeError(f"curl: {said.strip()[-300:]}")
    wrong = Counter("HTTP/{}, status {}, {} bytes".format(*one) for *one, _ in lines if tuple(one) != right)
    found = {"seconds": seconds, "requests": len(good), "errors": dict(wrong), "latency": percentiles(good)}
    return found | {"clients": max(1, round(sum(good) / seconds))}


def ceiling(wanted: dict[str, Any]) -> dict[str, Any]:
    """As many requests as `clients` connections get answered in some seconds."""
    user = user_of(wanted)
    if wanted["tool"] == "locust":
        return locust(wanted, 0)
    before = used(resource.RUSAGE_CHILDREN)
    found = {"1.1": wrk, "2": h2load, "3": curl}[wanted["http"]](user, wanted)
    return found | {"generator": used(resource.RUSAGE_CHILDREN) - before}


def used(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds of this process, or of those that it has waited for."""
    return sum(resource.getrusage(who)[:2])


def main() -> None:
    """Answers each line; an error is an answer too."""
    logging.getLogger("locust").setLevel(logging.ERROR)  # it warns of so many users at once
    for line in sys.stdin:
        wanted = json.loads(line)
        LeanUser.let_go()
        try:
            answer = locust(wanted, wanted["rate"]) if wanted["mode"] == "rate" else ceiling(wanted)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
