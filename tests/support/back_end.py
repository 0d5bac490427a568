"""An application that replies as the request's query says, for tests of what the proxies do with a reply's headers.

It runs in the app's place, on Python's standard library only, and keeps RFC 9110 to the letter: conditions (13) and
one range (14). The query gives `status`, `size` (bytes of the body), `chunked`, and headers (`h=Name:value`).
"""

import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

LINE = b"%06d a line of text\n"


def make_body(size: int) -> bytes:
    """Text of `size` bytes, whose lines differ."""
    return b"".join(LINE % number for number in range(size // 20 + 1))[:size]


def read_tags(value: str) -> list[str]:
    """The entity tags of a condition."""
    return re.findall(r'(?:W/)?"[^"]*"|\*', value)


def is_weak_match(tag: str, value: str) -> bool:
    """Whether `If-None-Match` names the tag (RFC 9110, 8.8.3.2)."""
    return any(each == "*" or each.removeprefix("W/") == tag.removeprefix("W/") for each in read_tags(value))


def is_strong_match(tag: str, value: str) -> bool:
    """Whether `If-Match` or `If-Range` names the tag."""
    return any(each == "*" or each == tag and not tag.startswith("W/") for each in read_tags(value))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server asks for
        """Answers every method in the same way; HEAD without a body."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        fields = dict(query)
        headers = [tuple(value.split(":", 1)) for name, value in query if name == "h"]
        body = make_body(int(fields.get("size", "3000")))
        status, body, more = self.apply_conditions(int(fields.get("status", "200")), body, dict(headers))
        self.send_response_only(status)
        for name, value in [("Date", formatdate(usegmt=True)), *headers, *more]:
            self.send_header(name, value)
        self.send_header("X-Serial", str(time.monotonic_ns()))
        self.send_header("X-Seen", repr({k.lower(): v for k, v in self.headers.items()}))
        self.send_body(status, body, "chunked" in fields)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815

    def apply_conditions(
        self, status: int, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """The status, body and further headers after the request's conditions and its range."""
        tag, asked = headers.get("ETag", ""), self.headers
        if "If-Match" in asked and not is_strong_match(tag, asked["If-Match"]):
            return 412, b"", []
        if "If-None-Match" in asked and is_weak_match(tag, asked["If-None-Match"]):
            return 304 if self.command in ("GET", "HEAD") else 412, b"", []
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.get("Range", ""))
        if self.command == "GET" and part and is_strong_match(tag, asked.get("If-Range", "*")):
            first, last = int(part[1]), min(int(part[2]), len(body) - 1)
            return 206, body[first : last + 1], [("Content-Range", f"bytes {first}-{last}/{len(body)}")]
        return status, body, []

    def send_body(self, status: int, body: bytes, is_chunked: bool) -> None:
        """Ends the head and sends the body."""
        pieces = [body]
        if status in (204, 304):
            pieces = []
        elif is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
            pieces = list(self.chunk(body))
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.writelines(pieces)

    @staticmethod
    def chunk(body: bytes) -> Iterator[bytes]:
        """The body as chunks of 1000 bytes."""
        for at in range(0, len(body), 1000):
            piece = body[at : at + 1000]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
