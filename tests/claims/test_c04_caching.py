"""C04: the web server controls caching: what is kept, for whom, and what never is."""

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
from tests.claims import Claim, Conclusion, Finding, stock
from tests.claims.duties import lacks
from tests.support.engine import docker
from tests.support.stack import PROXIES, StackUnderTest, spoken_versions

CLAIM = Claim("C04", "The web server controls caching")


@pytest.fixture(autouse=True)
def app(stack: StackUnderTest) -> None:
    """Any server will do."""
    stack.serve("granian", "asgi")


@pytest.fixture(params=proxies.having(CACHE))
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that has a cache."""
    return request.param


def fresh(kind: str) -> str:
    """The path of a page that no cache has seen."""
    return f"/cache/{kind}?{uuid.uuid4().hex}"


def did(answer: niquests.Response) -> str:
    """What the cache did, from the header of RFC 9211: `hit`, `fwd=miss` …"""
    return answer.headers["cache-status"].partition("; ")[2]


def page(answer: niquests.Response) -> dict[str, Any]:
    assert answer.status_code == 200
    return answer.json()


def test_a_public_page_is_made_once(stack: StackUnderTest, proxy: str, version: str, finding: Finding) -> None:
    path = fresh("public")
    first = stack.get(proxy, path, version)
    again = [stack.get(proxy, path, version) for _ in range(5)]
    assert did(first) == "fwd=miss" and {did(one) for one in again} == {"hit"}
    assert all(page(one) == page(first) for one in again)
    other = stack.get(proxy, fresh("public"), version)
    assert did(other) == "fwd=miss" and page(other) != page(first), "another query is another page"
    finding.setdefault("made", {}).setdefault(proxy, {})[version] = "once for 6 requests"


PERSONAL = {
    "a token": {"Authorization": "Bearer alice"},
    "a cookie": {"Cookie": "session=alice"},
    "a cookie that looks like nothing": {"Cookie": "0"},
}


@pytest.mark.parametrize("who", PERSONAL)
@pytest.mark.parametrize("kind", ["public", "unmarked", "private"])
def test_what_is_personal_is_never_kept(
    stack: StackUnderTest, proxy: str, kind: str, who: str, finding: Finding
) -> None:
    path, headers = fresh(kind), PERSONAL[who]
    (value,) = headers.values()
    mine = stack.get(proxy, path, headers=headers)
    assert did(mine) == "fwd=bypass" and page(mine)["for"] == value
    stranger = stack.get(proxy, path)
    assert did(stranger) == "fwd=miss" and page(stranger)["for"] == "", "one user's page was given to another"
    mine = stack.get(proxy, path, headers=headers)
    assert did(mine) == "fwd=bypass" and page(mine)["for"] == value, "a user was given the page of another"
    finding["personal"] = finding.get("personal", 0) + 1


@pytest.mark.parametrize("kind", ["private", "unmarked"])
def test_what_is_not_marked_public_is_never_kept(stack: StackUnderTest, proxy: str, kind: str) -> None:
    path = fresh(kind)
    first, second = stack.get(proxy, path), stack.get(proxy, path)
    assert (did(first), did(second)) == ("fwd=miss", "fwd=miss")
    assert page(first) != page(second)


def test_a_page_outside_the_caches_paths_is_never_asked_for_there(stack: StackUnderTest, proxy: str) -> None:
    assert "cache-status" not in stack.get(proxy, "/").headers


def test_languages_are_kept_apart(stack: StackUnderTest, proxy: str) -> None:
    path = fresh("vary")
    for language, expected in (("pt", "fwd=miss"), ("de", "fwd=miss"), ("pt", "hit"), ("de", "hit")):
        answer = stack.get(proxy, path, headers={"Accept-Language": language})
        assert (did(answer), page(answer)["language"]) == (expected, language)


def test_names_of_the_site_are_kept_apart(stack: StackUnderTest, proxy: str) -> None:
    # An application may put the name, and the port, into its links.
    path = fresh("public")
    pages = [
        stack.raw(proxy, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        for host in ("localhost", "127.0.0.1", "localhost:1234")
    ]
    assert all(b"fwd=miss" in one for one in pages)


def together(ask: Any, count: int = 8) -> set[str]:
    """The different pages that so many clients get who ask at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return {json.dumps(one) for one in pool.map(lambda _: ask(), range(count))}


def test_many_who_ask_at_once_share_one_page(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    path = fresh("public") + "&pause=500"

    def ask() -> Any:
        with stack.new_session(proxy) as session:
            return page(session.get(path, timeout=20))

    assert len(together(ask)) == 1
    finding.setdefault("together", {})[proxy] = "once for 8 clients"


def test_an_old_page_is_served_while_the_app_is_away(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    path = fresh("brief")
    kept = stack.get(proxy, path)
    assert did(kept) == "fwd=miss"
    docker("stop", stack.app())
    stack.serving = None
    assert stack.get(proxy, fresh("brief")).status_code in (502, 503, 504), "the app is still there"
    until = time.monotonic() + 3  # three times its second
    seen = set()
    while time.monotonic() < until:
        answer = stack.get(proxy, path)
        assert page(answer) == page(kept)
        seen.add(did(answer))
    assert any("stale" in one or "updating" in one for one in seen), seen
    stack.serve("granian", "asgi")
    assert wait_until(lambda: page(stack.get(proxy, path)) != page(kept)), "it is never made anew"
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
    with stock.proxy(stack, "nginx", LEAKY, tmp_path) as one:
        connection = HTTPConnection(one.address, 8080, timeout=20)
        for headers in PERSONAL.values():
            path, seen = fresh("unmarked"), []
            for sent in (headers, {}):
                connection.request("GET", path, headers=sent)
                seen.append(json.load(connection.getresponse())["for"])
            assert seen == [*headers.values()] * 2
        connection.close()

        # Nor do those who ask together share a page.
        path = fresh("public") + "&pause=500"

        def ask() -> Any:
            client = HTTPConnection(one.address, 8080, timeout=20)
            client.request("GET", path)
            with contextlib.closing(client):
                return json.load(client.getresponse())

        assert len(together(ask)) > 1
    finding["stock"] = "leaks"


@pytest.mark.parametrize("proxy", proxies.lacking(CACHE))
def test_a_proxy_without_a_cache_asks_every_time(
    stack: StackUnderTest, proxy: str, finding: Finding, tmp_path: Path
) -> None:
    path = fresh("public")
    assert page(stack.get(proxy, path)) != page(stack.get(proxy, path))
    assert lacks(stack, proxy, CACHE, tmp_path)
    finding.setdefault("without", {})[proxy] = proxies.lack(proxy, CACHE)


def conclude(found: Finding) -> Conclusion:
    """Holds if every proxy has a cache that keeps what is public; with a limit where some have none here."""
    have = [proxy for proxy in PROXIES if len(found["made"].get(proxy, {})) == len(spoken_versions(proxy))]
    without = found.get("without", {})
    evidence = (
        f"{', '.join(have)}: a public page is made {found['together'][have[0]]} who ask together, and is still served "
        f"while the app is away; none of {found['personal']} personal replies was kept, where a stock cache gave each "
        "to the next client. " + "".join(f"{proxy}: {why}. " for proxy, why in without.items())
    ).strip()
    return Conclusion("never was" if not have else "holds with a limit" if without else "holds", evidence)
