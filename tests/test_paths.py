"""The paths that the proxies take for themselves, each off and moved, and their files: static ones and media."""

import base64
import contextlib
import posixpath
import re
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest

from stack import proxies
from stack.proxies import CACHE, EXACT_LIMIT, RATE_LIMIT, STATIC
from tests.claims.support.side_by_side import run_variants
from tests.support.counting import Counting, run_counting_server
from tests.support.engine import exec_in, inspect
from tests.support.raw_clients import AT_ONCE, Reply, parse
from tests.support.stack import ADMIN, PROXIES, StackUnderTest
from tests.support.targets import FORMS, KINDS, SPELLINGS, make_request, make_targets, move

pytestmark = pytest.mark.full
MEBIBYTE = 2**20
ACCOUNT = f"Authorization: Basic {base64.b64encode(':'.join(ADMIN).encode()).decode()}\r\n"
NAMES = ("ADMIN_PATH", "CACHE_PATH", "LOGIN_PATH", "STATIC_PATH", "MEDIA_PATH")
OFF = dict.fromkeys(NAMES, "") | {"LOGIN_RATE": "1"}
AREA = "back.office/desk"  # a folder in a folder, and a dot that is no pattern
MOVED = {
    "ADMIN_PATH": f"/{AREA}/",
    "CACHE_PATH": "/pages.v1/",
    "LOGIN_PATH": "/accounts/login/",
    "STATIC_PATH": "/assets/",
    "MEDIA_PATH": "/up.loads/",
    "LOGIN_RATE": "1",
    "BODY_LIMIT": "30",
}
MOST = 30 * MEBIBYTE
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
DEFAULTS = ("/admin/x", "/admin", "/cache/x", "/login", "/static/hello.txt", "/static/", "/media/x", "/Admin/x")
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
Addresses = dict[str, Future[str]]
# Static files whose name has a hash before its extension, and those whose name looks like it.
HASHED = {
    "app.3f2a9c1b7d20.css": True,
    "app-3f2a9c1b.min.js": False,
    "chunk-3f2a9c1b.js": True,
    "report-20260131.css": False,
    "app.3f2a9c1.css": False,
    "3f2a9c1b7d20.css": False,
    "facade.css": False,
}
PAGE = b"<script>alert(1)</script>"
MEDIA = {  # a file, its content, and its type
    "photo.png": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "image/png"),
    "paper.pdf": (b"%PDF-1.7\n" + bytes(2000), "application/pdf"),
    "page.html": (PAGE, "text/html"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'>%b</svg>" % PAGE, "image/svg+xml"),
    "a folder/notes.txt": (b"notes\n", "text/plain"),
    "names without an end": (PAGE, ""),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Mounts in place of the static files and the media, with links that lead out of both."""
    mounts = []
    for name in ("static", "media"):
        folder = tmp_path_factory.mktemp(name)
        files = {path: content for path, (content, _) in MEDIA.items()} if name == "media" else {}
        for path, content in {"plain.css": b"p {}", **dict.fromkeys(HASHED, b"x"), **files}.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        for place in (folder, folder / "a folder"):
            place.mkdir(exist_ok=True)
            (place / "index.html").write_bytes(b"an index")
        (folder / "key.txt").symlink_to("/certs/privkey.pem")
        (folder / "out").symlink_to("/certs")
        (folder / "own.txt").symlink_to("plain.css")
        for place in [folder, *folder.rglob("*")]:
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() else 0o644)
        mounts.append(f"{folder}:/srv/{name}:ro")
    return mounts


@pytest.fixture(scope="module")
def off(stack: StackUnderTest) -> Iterator[Addresses]:
    """One more container of each proxy, which takes no path for itself."""
    with run_variants(stack, PROXIES, **OFF) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def moved(stack: StackUnderTest, folders: list[str]) -> Iterator[Addresses]:
    """One more container of each proxy, with other paths, other files and a larger body."""
    with run_variants(stack, PROXIES, folders, **MOVED) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def server(stack: StackUnderTest, off: Addresses, moved: Addresses) -> Iterator[Counting]:
    """A server in the app's place that answers every method of every path, which every proxy has found."""
    with run_counting_server(stack) as server:
        for addresses in (off, moved):
            for address in addresses.values():
                while ask(stack, address.result(), "/").status != 200:
                    pass
        yield server


def send(stack: StackUnderTest, address: str, request: bytes, patience: float = 20) -> Reply:
    """What the proxy at `address` answers to these bytes until it closes, or says nothing for `patience` seconds."""
    connection = stack.connection(address).sock
    assert isinstance(connection, ssl.SSLSocket)
    answer = b""
    with connection, contextlib.suppress(OSError):
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the proxy may have refused already
            connection.sendall(request)
        connection.settimeout(patience)
        while piece := connection.recv(65536):
            answer += piece
    return parse(answer)


def send_all(stack: StackUnderTest, address: str, requests: list[bytes]) -> None:
    """Sends requests that may be refused without an answer, a few at once, each on a connection of its own."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda request: send(stack, address, request, 1), requests))


def ask(
    stack: StackUnderTest, address: str, path: str, method: str = "GET", more: str = "", body: bytes = b""
) -> Reply:
    """One request of its own connection, with the target as it is written."""
    length = f"Content-Length: {len(body)}\r\n" if body or method not in ("GET", "HEAD") else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{more}\r\n"
    return send(stack, address, head.encode() + body)


# ---------------------------------------------------------------- one container of each proxy
# (!) These tests come first, because `off` and `moved` start further containers.


WRONG = {
    "ADMIN_PATH": ("/", "admin", "/admin", "/a/../b/", "/a b/", "/a//b/", "/a;b/", "/a/./"),
    "LOGIN_PATH": ("login", "/", "/a?b", "/admin/login", "/static"),
    "MEDIA_PATH": ("/static/media/", "/admin/"),
    "BODY_LIMIT": ("", "0", "10m", "1000", "-1"),
}


def test_a_wrong_path_or_limit_is_refused_in_one_line(stack: StackUnderTest, proxy: str) -> None:
    pairs = [f"{name}={value}" for name, values in WRONG.items() for value in values]
    words = " ".join(stack.compose.check_command(proxy))
    script = f'for pair; do env "$pair" start.sh {words} 2>&1 || true; done'
    lines = exec_in(stack.container(proxy), "sh", "-c", script, "sh", *pairs).splitlines()
    assert len(lines) == len(pairs), lines
    for pair, line in zip(pairs, lines, strict=True):
        assert line.startswith((f"{proxy}: {pair} is not a ", f"{proxy}: {pair} and ")), (pair, line)


@pytest.fixture(params=proxies.having(STATIC))
def file_proxy(request: pytest.FixtureRequest) -> str:
    """Each proxy that serves files."""
    return str(request.param)


def test_the_proxies_cannot_write_the_files(stack: StackUnderTest, file_proxy: str) -> None:
    mounts = {mount["Destination"]: mount for mount in inspect(stack.container(file_proxy))["Mounts"]}
    assert mounts["/srv/media"]["Name"] == f"{stack.compose.project}_media"
    assert not mounts["/srv/media"]["RW"] and not mounts["/srv/static"]["RW"]


# ---------------------------------------------------------------- off


# (!) This test comes first, because the fixture `server` takes the place of the app.
def test_a_path_that_is_off_takes_websockets(stack: StackUnderTest, off: Addresses, proxy: str) -> None:
    stack.serve("granian", "asgi")
    for path in ("/admin/ws", "/static/ws", "/cache/ws", "/login/ws"):
        connection = stack.connection(off[proxy].result()).sock
        assert isinstance(connection, ssl.SSLSocket)
        with connection:
            connection.sendall(UPGRADE.format(path=path).encode())
            assert b" 101 " in connection.recv(4096), path
            connection.sendall(b"\x81\x82\x00\x00\x00\x00hi")
            assert connection.recv(100) == b"\x81\x02hi"


def test_a_path_that_is_off_is_the_applications(
    stack: StackUnderTest, server: Counting, off: Addresses, proxy: str
) -> None:
    address, run = off[proxy].result(), uuid.uuid4().hex
    connection = stack.connection(address)
    with contextlib.closing(connection):

        def request(method: str, path: str) -> int:
            connection.request(method, f"{path}?{run}")
            reply = connection.getresponse()
            reply.read()
            assert not {"content-security-policy", "cache-status"} & {name.lower() for name in reply.headers}
            return reply.status

        for path in DEFAULTS:
            for method in METHODS:
                assert request(method, path) == 200, (method, path)
            assert server.count(f"{path}?{run}") == len(METHODS), path
        assert [request("POST", "/login") for _ in range(40)] == [200] * 40
        assert [request("GET", "/cache/page") for _ in range(3)] == [200] * 3
        assert server.count(f"/cache/page?{run}") == 3


# ---------------------------------------------------------------- moved


def read_as_application(path: str) -> str:
    """A path as the most tolerant application would read it: decoded, in lower case, with every segment resolved."""
    return posixpath.normpath("/" + unquote(path.partition("?")[0]).lower().lstrip("/"))


def list_moved_spellings() -> list[str]:
    """Every spelling of the claim about /admin below the moved area, and those of its second slash and its dot."""
    more = (f"/{AREA.replace('/', slash)}/x" for slash in ("//", "%2f", "%2F", "/./", "/x/../"))
    dotted = f"/{AREA.replace('.', '%2e')}/x"
    return [
        *(move(path, AREA) for path in SPELLINGS),
        *more,
        dotted,
        f"/{AREA.replace('/', '/%64').replace('dd', 'd')}",
    ]


def test_no_spelling_of_a_moved_path_reaches_the_admin_area(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str
) -> None:
    address, before = moved[proxy].result(), server.counts()
    targets = [*list_moved_spellings(), *make_targets(FORMS, [move(KINDS[0], AREA)])]
    upgrades = [UPGRADE.format(path=move(path, AREA)).encode() for path in KINDS]
    send_all(stack, address, [*map(make_request, targets), *upgrades])
    reached = {path for path, count in server.counts().items() if count > before.get(path, 0)}
    inside = [path for path in reached if f"{read_as_application(path)}/".startswith(f"/{AREA}/")]
    assert inside == []
    # The controls: the account opens the area, other paths are nobody's, and a dot is a dot.
    run = uuid.uuid4().hex
    for path in (f"/{AREA}/{run}", f"/{AREA}?{run}"):
        assert ask(stack, address, path, "POST").status == 401
        assert ask(stack, address, path, "POST", ACCOUNT).status == 200
    for path in (f"/admin/{run}", f"/{AREA}s/{run}", f"/{AREA.replace('.', 'x')}/{run}", f"/x/{AREA}/{run}"):
        assert ask(stack, address, path).status == 200
        assert server.count(path) == 1


def test_a_moved_login_is_counted_in_every_spelling(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str
) -> None:
    address, run = moved[proxy].result(), uuid.uuid4().hex
    assert [ask(stack, address, "/login", "POST").status for _ in range(30)] == [200] * 30
    spellings = ("/accounts/login/", "//accounts//login/", "/Accounts/Login/", "/accounts/%6cogin/")
    logins = [(path, ask(stack, address, f"{path}?{run}", "POST").status) for _ in range(12) for path in spellings]
    assert {status for _, status in logins[:20]} == {200}
    refused = {path for path, status in logins if status == 429}  # 21 pass at once, and one in each further second
    assert refused == (set() if (proxy, RATE_LIMIT) in proxies.LACKS else set(spellings))
    if refused:  # some applications take `post` for POST
        assert {400, 429} & {ask(stack, address, "/accounts/login/", "post").status for _ in range(10)}
    assert ask(stack, address, "/accounts/login/").status == 200, "a GET is no login"


def test_a_moved_cache_keeps_what_is_public(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str
) -> None:
    address, run = moved[proxy].result(), uuid.uuid4().hex
    for path in (f"/pages.v1/{run}", f"/cache/{run}", f"/pagesxv1/{run}"):
        for _ in range(3):
            assert ask(stack, address, path).status == 200
        is_kept = path.startswith("/pages.v1/") and (proxy, CACHE) not in proxies.LACKS
        assert server.count(path) == (1 if is_kept else 3), path


# ---------------------------------------------------------------- files


def test_static_and_media_go_to_the_application_where_a_proxy_serves_no_files(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str
) -> None:
    address, run = moved[proxy].result(), uuid.uuid4().hex
    for path in ("/assets/plain.css", "/up.loads/photo.png", "/assets/none", "/up.loads/"):
        reply = ask(stack, address, f"{path}?{run}")
        assert server.count(f"{path}?{run}") == ((proxy, STATIC) in proxies.LACKS), path
        assert reply.status == (404 if path.endswith(("none", "/")) and (proxy, STATIC) not in proxies.LACKS else 200)
    for path in ("/static/hello.txt", "/upxloads/photo.png", "/assets", "/up.loads"):
        assert ask(stack, address, f"{path}?{run}").status == 200
        assert server.count(f"{path}?{run}") == 1, path


@pytest.mark.parametrize("folder", ["/assets", "/up.loads"])
def test_nothing_but_a_file_is_served(
    stack: StackUnderTest, server: Counting, moved: Addresses, file_proxy: str, folder: str
) -> None:
    address = moved[file_proxy].result()
    for path in ("/", "/none", "/a%20folder", "/a%20folder/", "/out", "/out/"):
        for headers in ("", "If-None-Match: *\r\n", "Range: bytes=0-1\r\n"):
            reply = ask(stack, address, f"{folder}{path}", more=headers)
            assert reply.status in (403, 404), (path, reply)
            assert not {"cache-control", "etag", "last-modified", "location"} & reply.headers.keys(), path
    assert ask(stack, address, f"{folder}/index.html").status == 200  # by its name


@pytest.mark.duty("no link leads out of a folder")
@pytest.mark.parametrize("folder", ["/assets", "/up.loads"])
def test_no_link_leads_out_of_a_folder(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str, folder: str
) -> None:
    for path in ("/key.txt", "/out/privkey.pem"):
        assert b"PRIVATE KEY" not in ask(stack, moved[proxy].result(), folder + path).body, path


def test_a_name_with_a_hash_is_kept_for_a_year(
    stack: StackUnderTest, server: Counting, moved: Addresses, file_proxy: str
) -> None:
    address = moved[file_proxy].result()
    for name, is_hashed in HASHED.items():
        reply = ask(stack, address, f"/assets/{name}")
        age = "max-age=31536000, immutable" if is_hashed else "max-age=3600"
        assert (reply.status, reply.headers["cache-control"]) == (200, [age]), name
    assert "cache-control" not in ask(stack, address, "/assets/gone.3f2a9c1b7d20.css").headers


@pytest.mark.parametrize("name", MEDIA)
def test_media_files_are_served_as_uploads_of_strangers(
    stack: StackUnderTest, server: Counting, moved: Addresses, file_proxy: str, name: str
) -> None:
    address, path, (content, kind) = moved[file_proxy].result(), f"/up.loads/{name.replace(' ', '%20')}", MEDIA[name]
    reply = ask(stack, address, path)
    assert (reply.status, reply.body) == (200, content)
    kinds = [value.partition(";")[0] for value in reply.headers.get("content-type", [])]
    assert kinds == [kind] or (not kind and kinds in ([], ["application/octet-stream"], ["text/plain"])), kinds
    assert reply.headers["x-content-type-options"] == ["nosniff"]
    (policy,) = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy
    assert ("sandbox" in policy) == (kind != "application/pdf")  # browsers show no PDF in a sandbox
    (tag,) = reply.headers["etag"]
    unchanged = ask(stack, address, path, more=f"If-None-Match: {tag}\r\n")
    assert (unchanged.status, unchanged.body) == (304, b"")
    part = ask(stack, address, path, more="Range: bytes=2-4\r\n")
    assert (part.status, part.body) == (206, content[2:5])
    for method in ("POST", "PUT", "DELETE", "PROPFIND"):
        refused = ask(stack, address, path, method)
        assert refused.status == 405 and refused.headers["allow"][0] == "GET, HEAD", method


# ---------------------------------------------------------------- bodies


def test_the_limit_of_a_body_is_a_setting(
    stack: StackUnderTest, server: Counting, moved: Addresses, proxy: str
) -> None:
    address, run = moved[proxy].result(), uuid.uuid4().hex
    assert ask(stack, address, f"/length/{run}", "POST", body=bytes(MOST)).status == 200
    assert ask(stack, address, f"/over/{run}", "POST", body=bytes(MOST + 1)).status in (413, 0)
    head = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    def send_chunks(path: str, size: int) -> int:
        chunks = b"%x\r\n" % size + bytes(size) + b"\r\n0\r\n\r\n"
        return send(stack, address, head.format(path).encode() + chunks).status

    assert send_chunks(f"/chunks/{run}", MOST) == 200
    more = MEBIBYTE if (proxy, EXACT_LIMIT) in proxies.LACKS else 1
    assert send_chunks(f"/many/{run}", MOST + more) in (413, 500, 0)
    assert [server.count(f"/{name}/{run}") for name in ("length", "over", "chunks")] == [1, 0, 1]
    head_only = head.replace("Transfer-Encoding: chunked", f"Content-Length: {MOST + 1}").format(f"/over/{run}")
    assert send(stack, address, head_only.encode(), patience=1).status == 413


def test_the_proxies_read_the_paths_in_the_same_words() -> None:
    blocks = set()
    for proxy in PROXIES:
        text = (Path(__file__).parents[1] / proxy / "start.sh").read_text()
        block = re.search(
            r"^# The paths that the proxies take.*?^case \$BODY_LIMIT .*?$", text, re.MULTILINE | re.DOTALL
        )
        assert block, proxy
        blocks.add(block[0].replace(f"{proxy}:", "PROXY:"))
    assert len(blocks) == 1
