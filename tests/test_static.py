"""The static files of the proxies that serve them: methods, conditions, ranges, and what a cache may keep."""

from typing import Any

import niquests
import pytest

from stack import ROOT, proxies
from stack.proxies import STATIC
from tests.support.stack import StackUnderTest

pytestmark = pytest.mark.usefixtures("any_app")
PATH, FILE = "/static/hello.txt", ROOT / "apps/static/hello.txt"
COMPRESSED = FILE.with_name("hello.txt.gz")
OLD, EARLY = "Thu, 26 Nov 2099 00:00:00 GMT", "Mon, 01 Jan 2001 00:00:00 GMT"


@pytest.fixture(params=proxies.having(STATIC))
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that serves files."""
    return request.param


def read_names(answer: niquests.Response, header: str) -> list[str]:
    """The words of a header that holds a list."""
    return sorted(word for name in answer.headers.get(header, "").split(",") if (word := name.strip().lower()))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_static_files_are_read_only(stack: StackUnderTest, proxy: str, version: str, method: str) -> None:
    answer = stack.request(proxy, method, PATH, version, data=b"" if method == "OPTIONS" else b"x")
    assert answer.status_code == 405
    assert read_names(answer, "allow") == ["get", "head"]
    assert "cache-control" not in answer.headers and b"A static file" not in (answer.content or b"")


@pytest.mark.parametrize(
    "path", ["/static/none", "/static/none.gz", "/static/", "/static/hello.txt/x", "/static/hello"]
)
def test_a_missing_file_is_not_kept(stack: StackUnderTest, proxy: str, version: str, path: str) -> None:
    for headers in ({}, {"If-None-Match": "*"}, {"Range": "bytes=0-1"}, {"If-Modified-Since": OLD}):
        answer = stack.get(proxy, path, version, headers=headers)
        assert answer.status_code in (400, 403, 404)
        assert not {"cache-control", "expires", "etag", "last-modified", "content-range"} & set(answer.headers.keys())
        assert "x-content-type-options" in answer.headers


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_conditions_and_ranges_of_a_file(stack: StackUnderTest, proxy: str, version: str, coding: str) -> None:
    def ask(method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
        named = {"Accept-Encoding": coding} | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = stack.request(proxy, method, PATH, version, headers=named, stream=True)
        assert answer.raw
        body = answer.raw.read(decode_content=False)
        if answer.status_code == 412:  # NGINX closes without a word
            stack.sessions.pop((proxy, version)).close()
        return answer.status_code or 0, body, answer

    content = (COMPRESSED if coding == "gzip" else FILE).read_bytes()
    status, body, first = ask()
    tag, changed = first.headers["etag"], first.headers["last-modified"]
    assert (status, body) == (200, content)
    assert first.headers.get("content-encoding", "identity") == coding
    assert first.headers["content-length"] == str(len(content)) and first.headers["cache-control"] == "max-age=3600"
    assert read_names(first, "vary") == ["accept-encoding"]

    status, body, head = ask("HEAD")
    assert (status, body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified", "vary", "cache-control"):
        assert head.headers[name] == first.headers[name]

    for known in ({"If_None_Match": tag}, {"If_None_Match": f'"z", W/{tag}'}, {"If_Modified_Since": changed}):
        status, body, answer = ask(**known)
        assert (status, body) == (304, b"") and answer.headers["etag"] == tag
        assert read_names(answer, "vary") == ["accept-encoding"] and answer.headers["cache-control"] == "max-age=3600"
    assert ask(If_None_Match='"z"', If_Modified_Since=changed)[:2] == (200, content)  # the tag goes first
    assert ask(If_Match=tag)[:2] == ask(If_Unmodified_Since=changed)[:2] == (200, content)
    unmet = 200 if (proxy, coding) == ("caddy", "gzip") else 412  # caddy/Caddyfile says why
    assert ask(If_Match='"z"')[0] == ask(If_Unmodified_Since=EARLY)[0] == unmet

    # A range counts the bytes that travel: those of the .gz file for a client that reads gzip.
    for spelling, part in (("bytes=2-7", content[2:8]), ("bytes=-4", content[-4:]), ("bytes=60-", content[60:])):
        status, body, answer = ask(Range=spelling)
        assert (status, body) == (206, part)
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.headers["content-range"].endswith(f"/{len(content)}")
    assert ask(Range="bytes=0-1", If_Range=tag)[:2] == (206, content[:2])
    assert ask(Range="bytes=0-1", If_Range='"z"')[:2] == (200, content)
    assert ask(Range="bytes=999-")[0] == 416
    for malformed in ("lines=0-1", "bytes=5-2"):
        status, body, _ = ask(Range=malformed)
        assert status == 416 or (status, body) == (200, content)
