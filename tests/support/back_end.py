"""A back end that replies as the request's query says, for tests of what the proxies do with a reply's headers.

It runs in the app's place, on Python's standard library only, and takes conditions and ranges as RFC 9110 has them.
The query gives `status`, `size` (bytes of the body), `chunked`, and headers (`h=Name:value`). The reply's `X-Serial`
is new for every request that arrives here.
"""

import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Headers = list[tuple[str, str]]


def make_body(size: int) -> bytes:
    """Text of `size` bytes, whose lines differ."""
    return b"".join(b"%06d a line of text\n" % number for number in range(size // 20 + 1))[:size]


def read_tags(value: str) -> list[str]:
    """The entity tags of a condition."""
    return re.findall(r'(?:W/)?"[^"]*"', value)


def is_weak_match(tag: str, value: str) -> bool:
    """Whether `If-None-Match` names the tag (RFC 9110, 8.8.3.2)."""
    return tag.removeprefix("W/") in [each.removeprefix("W/") for each in read_tags(value)]


def is_strong_match(tag: str, value: str) -> bool:
    """Whether `If-Match` or `If-Range` names the tag. A weak tag matches nothing."""
    return not tag.startswith("W/") and tag in read_tags(value)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answers one request, whatever its method."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        settings = dict(query)
        pairs = [value.partition(":") for name, value in query if name == "h"]
        headers = [(name, value) for name, _, value in pairs]
        body = make_body(int(settings.get("size", "3000")))
        status, body, more = self.apply_conditions(int(settings.get("status", "200")), body, dict(headers))
        self.send_response_only(status)
        for name, value in [*headers, *more, ("Date", self.date_time_string()), ("X-Serial", str(time.monotonic_ns()))]:
            self.send_header(name, value)
        self.send_body(status, body, "chunked" in settings)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server looks for

    def apply_conditions(self, status: int, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, Headers]:
        """The status, the body and further headers, after the request's conditions and its range."""
        tag, sent = headers.get("ETag", ""), self.headers
        if "If-Match" in sent and not is_strong_match(tag, sent["If-Match"]):
            return 412, b"", []
        if "If-None-Match" in sent and is_weak_match(tag, sent["If-None-Match"]):
            return 304, b"", []
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", sent.get("Range", ""))
        if part and ("If-Range" not in sent or is_strong_match(tag, sent["If-Range"])):
            first, last = int(part[1]), int(part[2])
            return 206, body[first : last + 1], [("Content-Range", f"bytes {first}-{last}/{len(body)}")]
        return status, body, []

    def send_body(self, status: int, body: bytes, is_chunked: bool) -> None:
        """Ends the head and sends the body, if the reply has one."""
        if status in (204, 304):
            self.end_headers()
            return
        self.send_header(*(("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(len(body)))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.writelines(chunk(body) if is_chunked else [body])

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


def chunk(body: bytes) -> Iterator[bytes]:
    """The body as chunks of 1000 bytes."""
    for at in range(0, len(body), 1000):
        piece = body[at : at + 1000]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
