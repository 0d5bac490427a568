"""C29: client → web server → application server (workers) → application. One request is followed through all."""

import pytest

from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.support.engine import inspect
from tests.support.stack import DEFAULT_PROXIES, StackUnderTest

CLAIM = Claim(
    "C29",
    "In production it looks like: client → web server → application server (workers) → application",
    also=("test_the_app_is_reached_through_the_proxies_only", "test_every_application_keeps_the_contract"),
)
# The parent of a process, from the process table of the container.
PARENT = "import sys; print(open(f'/proc/{sys.argv[1]}/stat').read().rpartition(')')[2].split()[1])"


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server with workers will do."""
    stack.serve("gunicorn", "asgi")


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_one_request_is_seen_by_every_part(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    answer = stack.get(proxy, "/request")
    request_id = answer.headers["x-request-id"]
    assert answer.json()["headers"]["x-request-id"] == request_id, "the application received another request"
    logged = wait_until(
        lambda: [line for line in stack.log_lines(proxy) if request_id in (line.get("id"), line.get("uuid"))]
    )
    assert len(logged) == 1
    worker = stack.get(proxy, "/process").json()["pid"]
    master = stack.in_app(f"import sys; sys.argv = ['', '{worker}']; {PARENT}")
    command = stack.in_app(f"print(open('/proc/{master}/cmdline').read().replace(chr(0), ' '))")
    assert not inspect(stack.app())["HostConfig"]["PortBindings"], "the application can be reached past the proxy"
    peer = answer.json()["headers"]["x-forwarded-for"]
    finding[proxy] = {
        "client": peer == stack.gateway(),
        "asked by": logged[0]["upstream"].rpartition(":")[0] == stack.address("app", "backend"),
        "a worker answered, started by": command.split()[1].rpartition("/")[2],
        "worker is not its master": worker != int(master),
    }


def conclude(finding: Finding) -> Conclusion:
    """Holds if the proxy, a worker with a main process above it, and the application saw each request."""
    complete = all(
        row["client"] and row["asked by"] and row["worker is not its master"] and row["a worker answered, started by"]
        for row in finding.values()
    )
    master = finding[DEFAULT_PROXIES[0]]["a worker answered, started by"]
    evidence = (
        "One request id in the reply, the log of the proxy and the application's own view, through "
        f"{len(DEFAULT_PROXIES)} proxies; it was answered by a worker process that {master} had started; "
        "the client's address came along, and the application's port is not published."
    )
    return Conclusion("holds" if complete else "never was", evidence)
