"""C08: the web server serves what is static by itself, and hands what is dynamic to the application."""

import pytest

from stack import ROOT, proxies
from stack.proxies import STATIC
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding
from tests.support.engine import docker
from tests.support.stack import DEFAULT_PROXIES, PROXIES, StackUnderTest, spoken_versions

CLAIM = Claim(
    "C08",
    "The web server serves static content; it can't run a language, so it forwards dynamic requests",
    also=("test_static_files_come_from_the_proxy", "test_no_spelling_of_a_path_leaves_the_static_folder"),
)
FILE = ROOT / "apps/static/hello.txt"
HAVE = proxies.having(STATIC)
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do."""
    stack.serve("granian", "asgi")


@pytest.fixture(params=HAVE)
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that serves files."""
    return request.param


def test_static_files_are_served_while_the_app_is_away(stack: StackUnderTest, finding: Finding) -> None:
    docker("stop", stack.app())
    stack.serving = None
    for proxy in PROXIES:
        away = stack.get(proxy, "/").status_code
        assert away in (500, 502, 503, 504), "the app is still there"
        file = 0
        for version in spoken_versions(proxy):
            answer = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN)
            if proxy in HAVE:
                assert (answer.status_code, answer.content) == (200, FILE.read_bytes())
            else:  # it asks the app for them, too
                assert answer.status_code == away
            file = answer.status_code or 0
        finding.setdefault("away", {})[proxy] = [file, away]


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)  # Apache's log does not tell who answered
def test_dynamic_requests_go_to_the_app(stack: StackUnderTest, proxy: str) -> None:
    for path, asked in (("/process", True), ("/static/hello.txt", False)):
        name = stack.get(proxy, path).headers["x-request-id"]
        line = wait_until(lambda name=name: [x for x in stack.log_lines(proxy) if name in (x.get("id"), x.get("uuid"))])
        assert bool(line[0]["upstream"]) == asked, line


def test_what_is_dynamic_is_what_the_application_server_says(stack: StackUnderTest, finding: Finding) -> None:
    for server in ("granian", "uvicorn"):
        stack.serve(server, "asgi")
        for proxy in PROXIES:
            said = stack.get(proxy, "/process").json()["server"]
            assert said == server
            finding.setdefault("dynamic", {}).setdefault(proxy, []).append(said)


def test_ranges_and_conditions_are_honoured(stack: StackUnderTest, proxy: str, version: str) -> None:
    def get(**headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN | named)
        return answer.status_code or 0, answer.content or b""

    whole = FILE.read_bytes()
    seen = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN).headers
    assert get(Range="bytes=-4") == (206, whole[-4:])
    assert get(Range="bytes=3-") == (206, whole[3:])
    assert get(Range=f"bytes={len(whole)}-")[0] == 416
    assert get(Range="bytes=0-1", If_Range=seen["etag"]) == (206, whole[:2])
    assert get(Range="bytes=0-1", If_Range='"another"') == (200, whole)
    assert get(If_None_Match=seen["etag"]) == get(If_Modified_Since=seen["last-modified"]) == (304, b"")
    assert get(If_None_Match='"another"') == (200, whole)


def conclude(found: Finding) -> Conclusion:
    """Holds if each proxy serves files without the app and everything else from it; with a limit where some do not."""
    serve = [proxy for proxy in PROXIES if found["away"][proxy][0] == 200]
    forward = [proxy for proxy in PROXIES if len(found["dynamic"][proxy]) == 2]
    statuses = ", ".join(f"{found['away'][proxy][1]} from {proxy}" for proxy in forward)
    evidence = (
        f"With the application stopped, {', '.join(serve)} answer 200 for a file over every HTTP version they speak "
        f"(ranges, ETag, 304 and a .gz beside it included), and a dynamic path is answered with {statuses}; running, "
        "the application is what answers there. "
        + "".join(f"{proxy}: {proxies.lack(proxy, STATIC)}. " for proxy in PROXIES if proxy not in serve)
    ).strip()
    everybody = len(serve) == len(forward) == len(PROXIES)
    return Conclusion("holds" if everybody else "holds with a limit" if serve else "never was", evidence)
