"""C08: the web server serves static files itself, and forwards dynamic requests to the application."""

import pytest

from stack import ROOT, proxies
from stack.proxies import STATIC
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Verdict
from tests.support.engine import stop
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
    """The server that runs already, because the proxy serves the files; or any server."""
    if not stack.serving:
        stack.serve("granian", "asgi")


@pytest.fixture(params=HAVE)
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that serves files."""
    return request.param


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)  # Apache's log does not say which server answered
def test_dynamic_requests_go_to_the_app(stack: StackUnderTest, proxy: str) -> None:
    for path, goes_to_the_app in (("/process", True), ("/static/hello.txt", False)):
        request_id = stack.get(proxy, path).headers["x-request-id"]
        lines = wait_until(
            lambda request_id=request_id: [
                line for line in stack.log_lines(proxy) if request_id in (line.get("id"), line.get("uuid"))
            ]
        )
        assert bool(lines[0]["upstream"]) == goes_to_the_app, lines


def test_ranges_and_conditions_are_honoured(stack: StackUnderTest, proxy: str, version: str) -> None:
    def get(**headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN | named)
        return answer.status_code or 0, answer.content or b""

    content = FILE.read_bytes()
    headers_now = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN).headers
    assert get(Range="bytes=-4") == (206, content[-4:])
    assert get(Range="bytes=3-") == (206, content[3:])
    assert get(Range=f"bytes={len(content)}-")[0] == 416
    assert get(Range="bytes=0-1", If_Range=headers_now["etag"]) == (206, content[:2])
    assert get(Range="bytes=0-1", If_Range='"another"') == (200, content)
    assert get(If_None_Match=headers_now["etag"]) == get(If_Modified_Since=headers_now["last-modified"]) == (304, b"")
    assert get(If_None_Match='"another"') == (200, content)


def test_what_is_dynamic_is_what_the_application_server_says(stack: StackUnderTest, finding: Finding) -> None:
    for server in ("granian", "uvicorn"):
        stack.serve(server, "asgi")
        for proxy in PROXIES:
            answered_by = stack.get(proxy, "/process").json()["server"]
            assert answered_by == server
            finding.setdefault("dynamic", {}).setdefault(proxy, []).append(answered_by)


def test_static_files_are_served_while_the_app_is_away(stack: StackUnderTest, finding: Finding) -> None:
    stop(stack.app())
    stack.serving = None
    for proxy in PROXIES:
        away = stack.get(proxy, "/").status_code
        assert away in (500, 502, 503, 504), "the app is still there"
        file = 0
        for version in spoken_versions(proxy):
            answer = stack.get(proxy, "/static/hello.txt", version, headers=PLAIN)
            if proxy in HAVE:
                assert (answer.status_code, answer.content) == (200, FILE.read_bytes())
            else:  # this proxy forwards requests for files to the app
                assert answer.status_code == away
            file = answer.status_code or 0
        finding.setdefault("away", {})[proxy] = [file, away]


def conclude(finding: Finding) -> Conclusion:
    """Holds if each proxy serves files without the app and all else from it; with a limit where a proxy does not."""
    serving = [proxy for proxy in PROXIES if finding["away"][proxy][0] == 200]
    forwarding = [proxy for proxy in PROXIES if len(finding["dynamic"][proxy]) == 2]
    statuses = ", ".join(f"{finding['away'][proxy][1]} from {proxy}" for proxy in forwarding)
    evidence = (
        f"With the application stopped, {', '.join(serving)} answer 200 for a file over every HTTP version they speak "
        f"(ranges, ETag, 304 and a .gz beside it included), and a dynamic path is answered with {statuses}; running, "
        "the application is what answers there. "
        + "".join(f"{proxy}: {proxies.lack(proxy, STATIC)}. " for proxy in PROXIES if proxy not in serving)
    ).strip()
    complete = len(serving) == len(forwarding) == len(PROXIES)
    verdict: Verdict = "holds" if complete else "holds with a limit" if serving else "never was"
    return Conclusion(verdict, evidence)
