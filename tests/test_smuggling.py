"""No framing of a body hides a request from the proxies' rules (RFC 9112, 11.2)."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from tests.claims.test_c06_access import reached_by
from tests.support.raw_clients import parse, send_bytes
from tests.support.stack import DEFAULT_PROXIES, PROXIES, TWO_SERVERS, StackUnderTest

PATIENCE = 0.3  # seconds, where a proxy waits for the rest of a body
# The request that no rule may miss, and its length.
HIDDEN = b"GET /admin/hidden HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SIZE = len(HIDDEN)
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % SIZE
LAST = b"\r\n0\r\n\r\n"
CHUNK = b"%x\r\n%s%s" % (SIZE, HIDDEN, LAST)
# Values of Transfer-Encoding that one reader takes for `chunked` and another does not. Content-Length stands beside.
CODINGS = (
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked;a=b",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked\x00",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chun\r\n ked",
    b" Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer\x00-Encoding: chunked",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
)
LENGTHS = (
    b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: %d\r\nContent-Length: 0",
    b"Content-Length: 0, %d",
    b"Content-Length: %d, 0",
    b"Content-Length: +%d",
    b"Content-Length: -%d",
    b"Content-Length: 0x%x",
    b"Content-Length: 0_%d",
    b"Content-Length: %d\x00",
    b"Content-Length: %d\x0b",
    b"Content-Length : %d",
    b"Content_Length: %d",
    b"Content-Length:\r\n %d",
    b"X: y\nContent-Length: %d",
    b"X: y\r\n Content-Length: %d",
    b"Connection: Content-Length\r\nContent-Length: %d",
    b"Expect: 100-continue\r\nContent-Length: %d",
    b"Upgrade: websocket\r\nContent-Length: %d",
)
# Chunks that end at different places for different readers.
CHUNKS = (
    b"0\r\n\r\n" + HIDDEN,
    b"%x;a=\n%s%s" % (SIZE, HIDDEN, LAST),
    b'%x;a="\r\n%s%s' % (SIZE, HIDDEN, LAST),
    b"%x\n%s\n0\n\n" % (SIZE, HIDDEN),
    b"2;\nxx\r\n%x\r\n0\r\n\r\n%s" % (SIZE, HIDDEN),
    b"2\r\nxx0\r\n\r\n" + HIDDEN,
    b"0x%x\r\n%s%s" % (SIZE, HIDDEN, LAST),
    b"-0\r\n\r\n" + HIDDEN,
    b"+%x\r\n%s%s" % (SIZE, HIDDEN, LAST),
    b"10000000000000000\r\n" + HIDDEN + LAST,
    b"100000000%x\r\n%s%s" % (SIZE, HIDDEN, LAST),
    b"0\r\nContent-Length: %d\r\nHost: evil\r\n\r\n%s" % (SIZE, HIDDEN),
    b"0\r\nX: y\n\n" + HIDDEN,
    b"\r\n0\r\n\r\n" + HIDDEN,
)
LINES = (
    POST.replace(b"HTTP/1.1", b"HTTP/1.0") + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    POST.replace(b"HTTP/1.1", b"HTTP/1.10") + LENGTH + b"\r\n" + HIDDEN,
    POST.replace(b"HTTP/1.1", b"HTTP/2.0") + LENGTH + b"\r\n" + HIDDEN,
    POST.replace(b"POST /echo HTTP/1.1", b"GET /request") + LENGTH + b"\r\n" + HIDDEN,
    POST.replace(b"POST /echo", b"GET /request") + LENGTH + b"\r\n" + HIDDEN,
    POST.replace(b"POST /echo", b"HEAD /request") + LENGTH + b"\r\n" + HIDDEN,
    POST.replace(b"\r\n", b"\n") + LENGTH.replace(b"\r", b"") + b"\n" + HIDDEN,
    POST + b"Content-Length: 0\r\n\n" + HIDDEN,
    POST + LENGTH + b" \r\n\r\n" + HIDDEN,
    POST + b"X\r\n" + LENGTH + b"\r\n" + HIDDEN,
    POST + LENGTH + b": y\r\n\r\n" + HIDDEN,
)


def make_requests() -> list[bytes]:
    """Every framing, with the hidden request where one reader sees a body and another a request."""
    short = b"Content-Length: 4\r\n"
    return [
        *(POST + LENGTH + coding + b"\r\n\r\n" + HIDDEN for coding in CODINGS),
        *(POST + coding + b"\r\n" + short + b"\r\n" + CHUNK for coding in CODINGS),
        *(POST + coding + b"\r\n\r\n0\r\n\r\n" + HIDDEN for coding in CODINGS),
        *(POST + (length % SIZE) + b"\r\n\r\n" + HIDDEN for length in LENGTHS),
        *(CHUNKED + chunks for chunks in CHUNKS),
        *LINES,
    ]


def test_no_framing_hides_a_request_from_the_rules(served: StackUnderTest) -> None:
    proxies = PROXIES if served.serving in TWO_SERVERS else DEFAULT_PROXIES
    assert served.serving
    # A framework reads no framing, so one part is enough with each.
    requests, tls = make_requests() if served.serving[2] == "bare" else [*LINES], served.tls()
    with reached_by(served), ThreadPoolExecutor(8) as pool:
        for proxy in proxies:
            port = served.https_port(proxy)
            answers = list(pool.map(send_bytes, repeat(port), requests, repeat(tls), repeat(PATIENCE)))
            for request, answer in zip(requests, answers, strict=True):
                assert b"the admin area" not in answer, (proxy, request)
            # The connections to the application are in step: each reply belongs to its request.
            for number in range(8):
                ordinary = f"GET /request/{number} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
                reply = parse(send_bytes(port, ordinary, tls))
                assert f'"/request/{number}"'.encode() in reply.body, (proxy, reply)
