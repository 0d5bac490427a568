"""Streams pass at once: event streams and other replies without a length, in reply to GET and POST."""

import time
from collections.abc import Iterator

import pytest

from apps import named_differences
from apps.runtime import serve
from tests.support.stack import PROXIES, StackUnderTest
from tools import streams

PIECES, PAUSE = 4, 0.1  # seconds between two pieces
# The longest time that a piece may take from the application to the client. The least of them counts, because a busy
# machine delays some. HAProxy's default is 0.2 s, and NGINX would wait for the end.
AT_ONCE = 0.18


def arrivals(stack: StackUnderTest, proxy: str, method: str, route: str, encoding: str) -> Iterator[float]:
    """The moments at which each piece of a reply arrives, in seconds after the request."""
    request = (
        f"{method} /{route}/{PIECES}?pause={PAUSE * 1000:.0f} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        f"Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    )
    with stack.socket(proxy) as connection:
        began = time.monotonic()
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            before, answer = answer, answer + piece
            # A piece after the head. The last chunk of a body is empty.
            if len(answer.partition(b"\r\n\r\n")[2]) > len(before.partition(b"\r\n\r\n")[2]) and piece != b"0\r\n\r\n":
                yield time.monotonic() - began
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]


def delays(moments: list[float]) -> list[float]:
    """How long after its turn each of the first pieces arrived. The first has its turn after one pause."""
    return [moment - PAUSE * turn for turn, moment in enumerate(moments[: PIECES - 1], 1)]


def test_a_stream_arrives_piece_by_piece(served: StackUnderTest, proxy: str) -> None:
    # The hardest case: a POST whose reply is compressed text. The application does nothing for it.
    assert served.serving
    moments = list(arrivals(served, proxy, "POST", "stream", "gzip"))
    if "stream" in named_differences.differences(*served.serving[:2]):
        assert moments[-1] - moments[0] < PAUSE, "upstream has mended this: take it out of the named differences"
        return
    assert len(moments) >= PIECES - 1, "the pieces came together"
    assert min(delays(moments)) < AT_ONCE, moments


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("route", ["stream", "events"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_kind_of_stream_passes_at_once(
    stack: StackUnderTest, any_app: None, proxy: str, method: str, route: str, encoding: str
) -> None:
    moments = list(arrivals(stack, proxy, method, route, encoding))
    assert len(moments) >= PIECES - 1, "the pieces came together"
    assert min(delays(moments)) < AT_ONCE, moments


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_stream_in_reply_to_a_post_arrives_piece_by_piece(
    stack: StackUnderTest, any_app: None, proxy: str, version: str
) -> None:
    path = f"/events/{PIECES}?pause={PAUSE * 1000:.0f}"
    answer = stack.request(proxy, "POST", path, version, data=b"{}", stream=True)
    moments = [time.monotonic() for piece in answer.iter_content(None) if piece]
    assert len(moments) >= PIECES and moments[-1] - moments[0] > PAUSE * (PIECES - 2), moments


def test_the_record_has_every_pairing() -> None:
    recorded = {(cell["server"], cell["interface"], cell["proxy"]) for cell in streams.read()["cells"]}
    missing = {(*pair, proxy) for pair in serve.pairs() for proxy in PROXIES} ^ recorded
    assert missing == set(), "make streams measures them anew"
