"""C04: the web server controls caching: what it keeps, for which client, and what it never keeps."""

import contextlib
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import niquests
import pytest

from stack import proxies
from stack.proxies import CACHE
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Verdict
from tests.claims.support.duties import lacks
from tests.claims.support.stock_proxies import run_stock_proxy
from tests.support.engine import stop
from tests.support.stack import PROXIES, StackUnderTest, spoken_versions

CLAIM = Claim("C04", "The web server controls caching")


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do, because the proxy has the cache."""
    stack.serve("granian", "asgi")


@pytest.fixture(params=proxies.having(CACHE))
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that has a cache."""
    return request.param


def fresh(kind: str) -> str:
    """The path of a page that no cache has seen."""
    return f"/cache/{kind}?{uuid.uuid4().hex}"


def cache_status(answer: niquests.Response) -> str:
    """What the cache did (RFC 9211): `hit`, `fwd=miss`, …"""
    return answer.headers["cache-status"].partition("; ")[2]


def read_page(answer: niquests.Response) -> dict[str, Any]:
    """The page of a reply, whose status must be 200."""
    assert answer.status_code == 200
    return answer.json()


def test_a_public_page_is_made_once(stack: StackUnderTest, proxy: str, version: str, finding: Finding) -> None:
    path = fresh("public")
    first = stack.get(proxy, path, version)
    again = [stack.get(proxy, path, version) for _ in range(5)]
    assert cache_status(first) == "fwd=miss" and {cache_status(answer) for answer in again} == {"hit"}
    assert all(read_page(answer) == read_page(first) for answer in again)
    other = stack.get(proxy, fresh("public"), version)
    assert cache_status(other) == "fwd=miss" and read_page(other) != read_page(first), "another query is another page"
    finding.setdefault("made", {}).setdefault(proxy, {})[version] = "once for 6 requests"


PERSONAL = {
    "a token": {"Authorization": "Bearer alice"},
    "a cookie": {"Cookie": "session=alice"},
    "a cookie that looks like nothing": {"Cookie": "0"},
}


@pytest.mark.parametrize("user", PERSONAL)
@pytest.mark.parametrize("kind", ["public", "unmarked", "private"])
def test_what_is_personal_is_never_kept(
    stack: StackUnderTest, proxy: str, kind: str, user: str, finding: Finding
) -> None:
    path, headers = fresh(kind), PERSONAL[user]
    (value,) = headers.values()
    own = stack.get(proxy, path, headers=headers)
    assert cache_status(own) == "fwd=bypass" and read_page(own)["for"] == value
    stranger = stack.get(proxy, path)
    assert cache_status(stranger) == "fwd=miss" and read_page(stranger)["for"] == "", (
        "one user's page was given to another"
    )
    own = stack.get(proxy, path, headers=headers)
    assert cache_status(own) == "fwd=bypass" and read_page(own)["for"] == value, "a user was given the page of another"
    finding["personal"] = finding.get("personal", 0) + 1


@pytest.mark.parametrize("kind", ["private", "unmarked"])
def test_what_is_not_marked_public_is_never_kept(stack: StackUnderTest, proxy: str, kind: str) -> None:
    path = fresh(kind)
    first, second = stack.get(proxy, path), stack.get(proxy, path)
    assert (cache_status(first), cache_status(second)) == ("fwd=miss", "fwd=miss")
    assert read_page(first) != read_page(second)


def test_a_page_outside_the_caches_paths_is_never_asked_for_there(stack: StackUnderTest, proxy: str) -> None:
    assert "cache-status" not in stack.get(proxy, "/").headers


def test_languages_are_kept_apart(stack: StackUnderTest, proxy: str) -> None:
    path = fresh("vary")
    for language, expected in (("pt", "fwd=miss"), ("de", "fwd=miss"), ("pt", "hit"), ("de", "hit")):
        answer = stack.get(proxy, path, headers={"Accept-Language": language})
        assert (cache_status(answer), read_page(answer)["language"]) == (expected, language)


def test_names_of_the_site_are_kept_apart(stack: StackUnderTest, proxy: str) -> None:
    # An application may put the name and the port of the site into its links.
    path = fresh("public")
    answers = [
        stack.raw(proxy, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        for host in ("localhost", "127.0.0.1", "localhost:1234")
    ]
    assert all(b"fwd=miss" in answer for answer in answers)


def collect_pages(ask: Any, count: int = 8) -> set[str]:
    """The different pages that `count` clients get that ask at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return {json.dumps(page) for page in pool.map(lambda _: ask(), range(count))}


def test_many_who_ask_at_once_share_one_page(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    path = fresh("public") + "&pause=500"

    def ask() -> Any:
        with stack.new_session(proxy) as session:
            return read_page(session.get(path, timeout=20))

    assert len(collect_pages(ask)) == 1
    finding.setdefault("together", {})[proxy] = "once for 8 clients"


def test_an_old_page_is_served_while_the_app_is_away(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    path = fresh("brief")
    kept = stack.get(proxy, path)
    assert cache_status(kept) == "fwd=miss"
    stop(stack.app())
    stack.serving = None
    assert stack.get(proxy, fresh("brief")).status_code in (502, 503, 504), "the app is still there"
    until = time.monotonic() + 3  # the page is fresh for one second
    statuses = set()
    while time.monotonic() < until:
        answer = stack.get(proxy, path)
        assert read_page(answer) == read_page(kept)
        statuses.add(cache_status(answer))
    assert any("stale" in status or "updating" in status for status in statuses), statuses
    stack.serve("granian", "asgi")
    assert wait_until(lambda: read_page(stack.get(proxy, path)) != read_page(kept)), "the page is never made anew"
    finding.setdefault("away", {})[proxy] = "the old page"


LEAKY = """
    proxy_cache_path /tmp/cache keys_zone=all:1m;
    server {
        listen 8080;
        location / {
            proxy_pass http://app:8000;
            proxy_cache all;
            proxy_cache_valid 200 1m;
        }
    }"""


def test_a_stock_cache_gives_one_users_page_to_the_next(
    stack: StackUnderTest, finding: Finding, tmp_path: Path
) -> None:
    with run_stock_proxy(stack, "nginx", LEAKY, tmp_path) as nginx:
        connection = HTTPConnection(nginx.address, 8080, timeout=20)
        for headers in PERSONAL.values():
            path, users = fresh("unmarked"), []
            for sent in (headers, {}):
                connection.request("GET", path, headers=sent)
                users.append(json.load(connection.getresponse())["for"])
            assert users == [*headers.values()] * 2
        connection.close()

        # Clients that ask at the same time do not share a page either.
        path = fresh("public") + "&pause=500"

        def ask() -> Any:
            client = HTTPConnection(nginx.address, 8080, timeout=20)
            client.request("GET", path)
            with contextlib.closing(client):
                return json.load(client.getresponse())

        assert len(collect_pages(ask)) > 1
    finding["stock"] = "leaks"


@pytest.mark.parametrize("proxy", proxies.lacking(CACHE))
def test_a_proxy_without_a_cache_asks_every_time(
    stack: StackUnderTest, proxy: str, finding: Finding, tmp_path: Path
) -> None:
    path = fresh("public")
    assert read_page(stack.get(proxy, path)) != read_page(stack.get(proxy, path))
    assert lacks(stack, proxy, CACHE, tmp_path)
    finding.setdefault("without", {})[proxy] = proxies.lack(proxy, CACHE)


def conclude(finding: Finding) -> Conclusion:
    """Holds if every proxy has a cache that keeps public pages; with a limit where a proxy has no cache here."""
    caching = [proxy for proxy in PROXIES if len(finding["made"].get(proxy, {})) == len(spoken_versions(proxy))]
    without = finding.get("without", {})
    verdict: Verdict = "never was" if not caching else "holds with a limit" if without else "holds"
    evidence = (
        f"{', '.join(caching)}: a public page is made {finding['together'][caching[0]]} who ask together, and is still "
        f"served while the app is away; none of {finding['personal']} personal replies was kept, where a stock cache "
        "gave each to the next client. " + "".join(f"{proxy}: {reason}. " for proxy, reason in without.items())
    ).strip()
    return Conclusion(verdict, evidence)
