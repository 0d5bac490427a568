"""One window at the ceiling, by a tool that costs less than Locust: wrk, h2load (HTTP/2) or curl (HTTP/3)."""

import contextlib
import json
import re
import resource
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from time import perf_counter

import gevent
from locust.env import Environment

from loadtests.generator.figures import compute_percentiles, read_cpu_seconds
from loadtests.generator.lean_user import CA, PATIENCE, LeanUser
from loadtests.generator.orders import Observation, Order

SCRIPT = "/srv/loadtests/generator/wrk.lua"
# Bytes: wrk compares bodies up to this size. It costs wrk up to 6 % of its CPU time; for a megabyte it would be 60 %.
COMPARED = 16384
WRK_EARLY = 0.09  # seconds: after the signal, wrk ends at its next tenth of a second


def run_tool(user: type[LeanUser], order: Order) -> Observation:
    """As many requests as an order's clients get answered, by the tool for its HTTP version."""
    cpu_before = read_cpu_seconds(resource.RUSAGE_CHILDREN)
    observation = {"1.1": run_wrk, "2": run_h2load, "3": run_curl}[order.http](user, order)
    observation.cpu = read_cpu_seconds(resource.RUSAGE_CHILDREN) - cpu_before
    return observation


def check_answer(user: type[LeanUser]) -> int:
    """Has a user of the scenario compare one answer; its size in bytes, 0 where the size can differ."""
    client = user(Environment(user_classes=[user]))
    client.on_start()
    try:
        client.exchange()
        return client.usual_size
    finally:
        client.on_stop()


def run_program(command: list[str], seconds: float | None = None) -> str:
    """What a program prints; after `seconds` SIGINT asks it to end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if seconds:
        gevent.spawn_later(seconds, process.send_signal, signal.SIGINT)
    return process.communicate()[0]


@contextlib.contextmanager
def write_file(content: bytes) -> Iterator[str]:
    """The name of a temporary file with that content."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def run_wrk(user: type[LeanUser], order: Order) -> Observation:
    """wrk: a closed loop on each connection. Its duration is in whole seconds only, so a signal ends it.

    wrk corrects its times for coordinated omission, as if it had asked at a fixed rate, so they are too long.
    """
    size, is_compared = check_answer(user), len(user.reply) <= COMPARED
    with write_file(user.body) as body, write_file(user.reply if is_compared else b"") as reply:
        command = ["wrk", "--threads", "1", "--connections", str(order.clients), "--timeout", f"{PATIENCE:.0f}s"]
        command += ["--duration", "600s", "--script", SCRIPT, order.url + user.path, "--"]
        command += [user.method, body, str(user.status), reply]
        command += [f"{name}: {value}" for name, value in user.headers.items()]
        output = run_program(command, order.seconds - WRK_EARLY)
    try:
        figures = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(f"wrk: {output.strip()[-300:]}") from None
    size_of_all, requests = figures.pop("bytes"), figures["requests"]
    difference = abs(size_of_all - requests * size)
    if not is_compared and not figures["errors"] and difference > (order.clients + 1) * size:
        figures["errors"] = {f"{size_of_all} bytes in place of {requests} x {size}": 1}
    return Observation(**figures, corrected=True)


def run_h2load(user: type[LeanUser], order: Order) -> Observation:
    """h2load: as many connections as clients, and one request at a time on each, as with wrk."""
    check_answer(user)
    with write_file(user.body) as body, tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "--alpn-list=h2", f"--clients={order.clients}", "--max-concurrent-streams=1"]
        command += [f"--duration={order.seconds * 1000:.0f}ms", f"--log-file={log.name}"]
        command += [f"--header={name}: {value}" for name, value in user.headers.items()]
        command += [f"--data={body}"] if user.body else []
        output = run_program([*command, order.url + user.path])
        lines = [line.split() for line in log]  # begin and duration in µs, with the status between
    data = re.search(r"\((\d+)\) data", output)
    if not data or not lines:
        raise RuntimeError(f"h2load: {output.strip()[-300:]}")
    times = [int(duration) / 1e6 for _, status, duration in lines if status == str(user.status)]
    errors = dict(Counter(f"status {status}" for _, status, _ in lines if status != str(user.status)))
    if not errors and abs(int(data[1]) - len(times) * len(user.reply)) > order.clients * len(user.reply):
        errors = {f"{data[1]} bytes in place of {len(times)} x {len(user.reply)}": 1}
    end = max(int(begin) + int(duration) for begin, _, duration in lines)
    seconds = (end - min(int(begin) for begin, *_ in lines)) / 1e6
    return Observation(seconds, len(times), errors, compute_percentiles(times))


def run_curl(user: type[LeanUser], order: Order) -> Observation:
    """curl, because Debian's h2load has no HTTP/3: up to as many requests at a time as clients, on one connection.

    curl waits for ended requests before it begins more, so it has fewer in flight than allowed. The observation's
    `clients` is their mean number. NGINX ends a connection after 1000 requests. curl sends the requests that NGINX has
    not begun again on its next connection.
    """
    if user.method != "GET":
        raise RuntimeError("HTTP/3 is measured with GET only")
    check_answer(user)
    line = "%{stderr}%{http_version} %{http_code} %{size_download} %{time_total}\n"  # stdout is lost at the end
    command = ["curl", "--silent", "--http3-only", "--cacert", CA, "--parallel"]
    command += ["--parallel-max", f"{order.clients}", "--max-time", f"{PATIENCE}"]
    command += ["--retry", "1", "--retry-delay", "0.01", "--retry-all-errors"]
    command += ["--output", "/dev/null", "--write-out", line, f"{order.url}{user.path}#[1-1000000]"]
    command += [part for name, value in user.headers.items() for part in ("--header", f"{name}: {value}")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    gevent.spawn_later(order.seconds, process.send_signal, signal.SIGINT)
    output = process.stdout.readline() if process.stdout else ""
    begin = perf_counter()  # of the second request: before the first, curl reads all certificates, which takes a while
    output += process.communicate()[0]
    seconds = perf_counter() - begin
    answers = re.findall(r"^(\S+) (\d+) (\d+) ([\d.]+)$", output, re.MULTILINE)
    right = ("3", str(user.status), str(len(user.reply)))
    times = [float(duration) for *answer, duration in answers if tuple(answer) == right]
    if not times:
        raise RuntimeError(f"curl: {output.strip()[-300:]}")
    wrong = ("HTTP/{}, status {}, {} bytes".format(*answer) for *answer, _ in answers if tuple(answer) != right)
    clients = max(1, round(sum(times) / seconds))
    return Observation(seconds, len(times), dict(Counter(wrong)), compute_percentiles(times), clients=clients)
