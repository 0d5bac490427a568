"""C06: the web server controls access to /admin/, in every spelling of the path."""

import base64
import contextlib
import re
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from http.client import HTTPConnection
from pathlib import Path

import pytest

from apps import contract
from stack import ROOT
from stack.waiting import wait_until
from tests.claims import Claim, Conclusion, Finding, Table
from tests.claims.support.side_by_side import list_proxies, run_variants
from tests.claims.support.stock_proxies import run_stock_proxy
from tests.support.engine import read_logs
from tests.support.raw_clients import send_all
from tests.support.stack import ADMIN, DEFAULT_PROXIES, EDGE, PROXIES, TWO_SERVERS, StackUnderTest, spoken_versions
from tests.support.targets import FORMS, KINDS, SPELLINGS, make_request, make_targets

CLAIM = Claim("C06", "The web server controls access: authentication and authorisation")

REFUSED = {400, 401, 403, 404}


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that guards an admin area."""
    return request.param


def basic_credentials(user: str, password: str) -> dict[str, str]:
    """The header of Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


PAGE = b"the admin area"
ACCOUNT = basic_credentials(*ADMIN)
STRANGERS = {
    "nobody": {},
    "a wrong password": basic_credentials(ADMIN[0], "a guess"),
    "an empty password": basic_credentials(ADMIN[0], ""),
    "an empty name": basic_credentials("", ""),
    "the hash for a password": basic_credentials(ADMIN[0], EDGE["ADMIN_PASSWORD_HASH"]),
    "another user": basic_credentials("eve", ADMIN[1]),
    "another scheme": {"Authorization": "Bearer " + ACCOUNT["Authorization"].split()[1]},
    "a forwarded user": {"X-Remote-User": ADMIN[0], "Remote-User": ADMIN[0]},
    "another path in a header": {"X-Original-URL": "/", "X-Rewrite-URL": "/", "X-Forwarded-Prefix": "/admin"},
}


def read_visits(stack: StackUnderTest) -> list[str]:
    """The lines that the application's handler wrote, one each time that a request reached it."""
    log = read_logs(stack.app())  # Apache, under mod_wsgi, puts time and process in front of a line
    return re.findall(r"^(?:\[.*\] )?(admin: .*)$", log, re.MULTILINE)


@contextlib.contextmanager
def reached_by(stack: StackUnderTest, *expected: str) -> Iterator[None]:
    """Asserts that the handler is reached with these values in the block, and with no others.

    The block ends with a visit that is let in. The lines of the log come in order, so the log is complete then.
    """
    before = len(read_visits(stack))
    yield
    last = uuid.uuid4().hex
    assert_let_in(stack, "nginx", last)
    assert wait_until(lambda: read_visits(stack)[-1:] == [f"admin: {last}"]), "the handler is not in the log"
    assert read_visits(stack)[before:-1] == [f"admin: {value}" for value in expected]


def assert_let_in(stack: StackUnderTest, proxy: str, value: str, version: str = "1.1") -> None:
    """With the account, the request reaches the handler."""
    answer = stack.as_written(proxy, f"/admin/{value}", version, **ACCOUNT)
    assert (answer.status_code, answer.content) == (200, contract.GUARDED[0].body)


def test_no_spelling_of_the_path_reaches_the_admin_area(served: StackUnderTest, finding: Finding) -> None:
    # Every pair through the proxies that run by default, and two pairs through the other proxies.
    proxies = PROXIES if served.serving in TWO_SERVERS else DEFAULT_PROXIES
    with reached_by(served, *proxies):
        for proxy in proxies:
            for path in SPELLINGS:
                answer = served.as_written(proxy, path)
                assert answer.status_code in REFUSED, (proxy, path)
                assert answer.content != contract.GUARDED[0].body, (proxy, path)
            assert_let_in(served, proxy, proxy)
    assert served.serving
    finding.setdefault("applications", {})["-".join(served.serving)] = len(proxies)


def test_no_form_of_a_target_reaches_the_admin_area(
    served: StackUnderTest, finding: Finding, pytestconfig: pytest.Config
) -> None:
    # `make test` puts one spelling into every form. `make claims` puts every kind there, and asks every proxy.
    record = pytestconfig.getoption("record")
    proxies = PROXIES if record or served.serving in TWO_SERVERS else DEFAULT_PROXIES
    targets = list(make_targets(FORMS, KINDS if record else KINDS[:1]))
    with reached_by(served, *proxies):
        for proxy in proxies:
            replies = send_all(served.https_port(proxy), map(make_request, targets), served.tls())
            for target, reply in zip(targets, replies, strict=True):
                assert reply.status in REFUSED | {0}, (proxy, target)
                assert PAGE not in reply.body, (proxy, target)
            assert_let_in(served, proxy, proxy)
    assert served.serving
    finding.setdefault("targets", {})["-".join(served.serving)] = len(targets) * len(proxies)


@pytest.fixture
def app(stack: StackUnderTest) -> None:
    """One server. The tests above ask every server for every spelling."""
    stack.serve("granian", "asgi")


@pytest.mark.usefixtures("app")
def test_no_spelling_gets_in_over_any_version_of_http(
    stack: StackUnderTest, proxy: str, version: str, finding: Finding
) -> None:
    with reached_by(stack, "control"):
        for path in SPELLINGS:
            answer = stack.as_written(proxy, path, version)
            assert answer.status_code in REFUSED, path
            finding.setdefault("answers", {}).setdefault(path, {})[proxy] = answer.status_code
        assert_let_in(stack, proxy, "control", version)
    finding.setdefault("versions", {}).setdefault(proxy, []).append(version)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)  # their logs have the path as it was written
def test_the_spellings_arrive_as_they_are_written(stack: StackUnderTest, proxy: str, version: str) -> None:
    mark = uuid.uuid4().hex
    # The client encodes the other characters, and NGINX does not log the longest paths whole.
    kept = [path for path in SPELLINGS if re.fullmatch(r"[!-~]{1,1000}", path) and not re.search(r"[#\\]|%00|%u", path)]
    paths = [f"{path}{'&' if '?' in path else '?'}{mark}" for path in kept]
    for path in paths:
        stack.as_written(proxy, path, version)

    def read_logged_paths() -> list[str]:
        lines = stack.log_lines(proxy)
        return [path for line in lines if mark in (path := line.get("path") or line.get("request", {}).get("uri", ""))]

    assert wait_until(lambda: len(read_logged_paths()) == len(paths))
    # Sorted, because several workers write the log.
    assert sorted(path.lower() for path in read_logged_paths()) == sorted(path.lower() for path in paths)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    "target",
    [
        "https://localhost/admin/x",
        "http://localhost//admin/x",
        "https://localhost/admin/..",
        "http://nginx/x/../admin/x",
    ],
)
def test_a_whole_url_in_the_request_line_gets_nobody_in(stack: StackUnderTest, proxy: str, target: str) -> None:
    with reached_by(stack):
        answer = stack.raw(proxy, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert int(answer.split()[1]) in REFUSED, answer[:200]


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_refused(stack: StackUnderTest, proxy: str, stranger: str) -> None:
    with reached_by(stack):
        answer = stack.as_written(proxy, "/admin/x", **STRANGERS[stranger])
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")


def make_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def make_tunnelled_get(path: str) -> bytes:
    """What a client sends after its upgrade: the preface, its settings, and a GET in HPACK literals."""
    fields = b"\x82\x86" + bytes((4, len(path))) + path.encode() + bytes((1, 9)) + b"localhost"
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + make_frame(4, 0, 0) + make_frame(1, 0x5, 3, fields)


def try_tunnel(connection: socket.socket, outside: str, inside: str) -> tuple[bytes, bytes]:
    """Upgrades to h2c on the path `outside`, then asks for the path `inside`: the first answer, and all that came."""
    connection.sendall(
        f"GET {outside} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n".encode()
    )
    connection.settimeout(2)
    first = connection.recv(65536)
    answer = first
    with contextlib.suppress(OSError):
        connection.sendall(make_tunnelled_get(inside))
        while PAGE not in answer and (piece := connection.recv(65536)):
            answer += piece
    return first, answer


def test_no_upgrade_gets_in(stack: StackUnderTest, proxy: str, finding: Finding) -> None:
    stack.serve("hypercorn", "asgi")
    with reached_by(stack, "direct"):
        # The control: without a proxy the upgrade opens a tunnel. No rule of a proxy would see the requests in it.
        with socket.create_connection((stack.address("app", "backend"), 8000), timeout=10) as plain:
            first, answer = try_tunnel(plain, "/", "/admin/direct")
        assert first.startswith(b"HTTP/1.1 101 ") and PAGE in answer
        for outside, status in (("/", 200), ("/admin/outside", 401)):
            with stack.socket(proxy) as connection:
                first, answer = try_tunnel(connection, outside, "/admin/inside")
            assert first.startswith(b"HTTP/1.1 %d " % status), first[:200]
            assert PAGE not in answer
    finding.setdefault("tunnel", []).append(proxy)


# Rules of a tutorial for a closed admin area.
STOCK = {
    "nginx": "server { listen 8080; location /admin/ { deny all; } location / { proxy_pass http://app:8000; } }",
    "caddy": "http://:8080 {\n respond /admin/* 403\n reverse_proxy app:8000\n}",
}


@pytest.mark.parametrize("proxy", STOCK)
def test_a_stock_rule_for_the_admin_area_has_a_hole(
    stack: StackUnderTest, proxy: str, finding: Finding, tmp_path: Path
) -> None:
    stack.serve("granian", "asgi")
    with reached_by(stack, ".."), run_stock_proxy(stack, proxy, STOCK[proxy], tmp_path) as stock:
        connection = HTTPConnection(stock.address, 8080, timeout=20)
        for path, let_through in (("/admin/x", False), ("/admin/..", True)):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, PAGE in answer.read()) == ((200, True) if let_through else (403, False))
        connection.close()
    finding["stock"] = ["/admin/.."]


# Four more containers of each proxy, with other settings. Those of all proxies start side by side.
Addresses = dict[str, Future[str]]


@pytest.fixture(scope="module")
def without_account(request: pytest.FixtureRequest, stack: StackUnderTest) -> Iterator[Addresses]:
    """No account at all, which is the default."""
    with run_variants(stack, list_proxies(request), ADMIN_USER="", ADMIN_PASSWORD_HASH="") as addresses:
        yield addresses


def test_nobody_is_let_in_by_default(
    stack: StackUnderTest, proxy: str, without_account: Addresses, finding: Finding
) -> None:
    stack.serve("granian", "asgi")
    with reached_by(stack):
        for headers in (ACCOUNT, *STRANGERS.values()):
            assert get_status(stack, without_account[proxy].result(), headers) == 403
    finding.setdefault("default", {})[proxy] = 403


def test_a_setting_that_cannot_be_read_opens_nothing(stack: StackUnderTest) -> None:
    # Traefik leaves out a rule that it cannot read, and starts. The other proxies do not start.
    stack.serve("granian", "asgi")
    with reached_by(stack), stack.variant("traefik", ADMIN_ALLOW="everybody") as address:
        for headers in (ACCOUNT, *STRANGERS.values()):
            assert get_status(stack, address, headers) == 403


@pytest.fixture(scope="module")
def hashed(stack: StackUnderTest) -> str:
    """The hash that the command in .env.example prints for `another password`."""
    example = (ROOT / ".env.example").read_text()
    command = re.search(r"^# docker compose run (.* hash-password .*)$", example, re.MULTILINE)
    assert command, "the example names no command"
    return stack.compose.run("run", "-T", *command[1].split(), "--plaintext", "another password").strip()


@pytest.fixture(scope="module")
def with_hash(request: pytest.FixtureRequest, stack: StackUnderTest, hashed: str) -> Iterator[Addresses]:
    """Another account, with the hash that the example's command made."""
    with run_variants(stack, list_proxies(request), ADMIN_USER="eve", ADMIN_PASSWORD_HASH=hashed) as addresses:
        yield addresses


def test_the_hash_of_the_example_opens_the_area(stack: StackUnderTest, proxy: str, with_hash: Addresses) -> None:
    stack.serve("granian", "asgi")
    address = with_hash[proxy].result()
    with reached_by(stack, "x"):
        assert get_status(stack, address, basic_credentials("eve", "another password")) == 200
        assert get_status(stack, address, basic_credentials("eve", ADMIN[1])) == 401
        assert get_status(stack, address, ACCOUNT) == 401


@pytest.fixture(scope="module")
def for_others(request: pytest.FixtureRequest, stack: StackUnderTest) -> Iterator[Addresses]:
    """Allows other networks than this client's."""
    with run_variants(stack, list_proxies(request), ADMIN_ALLOW="192.0.2.0/24 2001:db8::/32") as addresses:
        yield addresses


@pytest.fixture(scope="module")
def for_this_client(request: pytest.FixtureRequest, stack: StackUnderTest) -> Iterator[Addresses]:
    """Allows this client's address."""
    with run_variants(stack, list_proxies(request), ADMIN_ALLOW=f"192.0.2.0/24 {stack.gateway()}") as addresses:
        yield addresses


def test_an_account_opens_nothing_from_an_address_that_is_not_allowed(
    stack: StackUnderTest, proxy: str, for_others: Addresses, for_this_client: Addresses
) -> None:
    stack.serve("granian", "asgi")
    allowed = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    address = for_others[proxy].result()
    with reached_by(stack):
        assert get_status(stack, address, ACCOUNT) == 403
        assert get_status(stack, address, ACCOUNT | allowed) == 403, "the client has chosen its own address"
    address = for_this_client[proxy].result()
    with reached_by(stack, "x"):
        assert get_status(stack, address, ACCOUNT) == 200
        assert get_status(stack, address, {}) == 401, "the right address opens nothing without the account"


def get_status(stack: StackUnderTest, address: str, headers: dict[str, str]) -> int:
    """The status of a GET of /admin/x from the proxy at `address`."""
    connection = stack.connection(address)
    try:
        connection.request("GET", "/admin/x", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def conclude(finding: Finding) -> Conclusion:
    """Holds if each proxy kept every stranger out. The tests above assert that no request reached the handler."""
    every_proxy_kept = all(
        finding["default"].get(proxy) == 403
        and sorted(finding["versions"].get(proxy, [])) == sorted(spoken_versions(proxy))
        and proxy in finding["tunnel"]
        for proxy in PROXIES
    )
    pairs = finding["applications"]
    every_pair_kept = finding["targets"].keys() == pairs.keys()
    evidence = (
        f"{len(SPELLINGS)} spellings of `/admin/x` without credentials, through {' and '.join(DEFAULT_PROXIES)} "
        f"to {len(pairs)} pairs of server and application and through all {len(PROXIES)} to "
        f"{list(pairs.values()).count(len(PROXIES))}, over every HTTP version they speak and into an "
        f"`Upgrade: h2c` tunnel, and {len(FORMS)} forms of the request target to the same pairs, in "
        f"{sum(finding['targets'].values()):,} requests: the application's handler was reached by none, and by every "
        "control with the account. "
        f"A stock rule for `/admin/` lets {', '.join(f'`{path}`' for path in finding['stock'])} through."
    )
    answers = finding["answers"]
    rows = [[f"`{path}`", *(str(statuses.get(proxy, "")) for proxy in PROXIES)] for path, statuses in answers.items()]
    note = "Without credentials, in front of granian and the bare ASGI application: 400 and 401 are the proxy's words."
    table = Table("What each spelling is answered", ["path", *PROXIES], rows, note)
    return Conclusion("holds" if every_proxy_kept and every_pair_kept else "holds with a limit", evidence, (table,))
