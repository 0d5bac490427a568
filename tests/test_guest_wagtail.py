"""Wagtail as its users have it: PostgreSQL, migrations, its own /admin/, static files and pictures of the proxies."""

import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import niquests
import pytest

from tests.support.clients import Clients
from tests.support.engine import exec_in
from tests.support.guest_exports import exported
from tests.support.guests import Guest, running
from tests.support.stack import DEFAULT_PROXIES

pytestmark = pytest.mark.guests

USER, PASSWORD = "ana", "a long passphrase"
STYLES = "mysite/static/css/mysite.css"
# Compose reads the file, and so does the build. No value with a space has quotes.
VARIABLES = """SECRET_KEY='for tests only: $ " #'
ALLOWED_HOSTS=localhost www.shop.example
"""
SETTINGS = {
    "APP": "mysite.wsgi:application",
    "SERVER": "gunicorn",
    "COMPOSE_PROFILES": "postgres",
    "POSTGRES_PASSWORD": "p@ss w/rd",
    "APP_BUILD": "python manage.py collectstatic --noinput",
    "APP_RELEASE": "python manage.py migrate --noinput",
    "STATIC_DIR": "static",
    "MEDIA_DIR": "/app/media",
}


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The site with its superuser."""
    folder = tmp_path_factory.mktemp("wagtail")
    (folder / "site.env").write_text(VARIABLES)
    with running("wagtail", folder, APP_ENV_FILE=str(folder / "site.env"), **SETTINGS) as guest:
        create_superuser(guest.run)
        yield guest


def create_superuser(run: Callable[[str], str]) -> None:
    """Makes the account of the tests by a command in the application's image."""
    create = f"python manage.py createsuperuser --noinput --username {USER} --email ana@shop.example"
    run(f"DJANGO_SUPERUSER_PASSWORD='{PASSWORD}' {create}")


def make_picture(size: int) -> bytes:
    """A PNG of noise, of `size` × `size` pixels. The larger ones pass Django's limit for a file in memory."""
    noise = random.Random(1)  # noqa: S311
    rows = b"".join(b"\0" + noise.randbytes(3 * size) for _ in range(size))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    ]
    pieces = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def read_text(answer: niquests.Response, status: int = 200) -> str:
    """The text of an answer, which has this status."""
    assert answer.status_code == status, (answer.status_code, answer.headers, (answer.text or "")[:2000])
    return answer.text or ""


def read_fields(page: str) -> dict[str, str]:
    """The hidden fields of the forms of a page, and its token against forgery."""
    inputs = re.findall(r"<input\b[^>]*\btype=\"hidden\"[^>]*>", page)
    pairs = ((re.search(r'\bname="([^"]+)"', each), re.search(r'\bvalue="([^"]*)"', each)) for each in inputs)
    return {name[1]: value[1] if value else "" for name, value in pairs if name}


def send_form(guest: Clients, proxy: str, path: str, files: Mapping[str, object] | None = None, **fields: str) -> str:
    """Opens a form, fills it in, and sends it as a browser does; returns where the answer leads."""
    page = read_text(guest.get(proxy, path))
    origin = f"https://localhost:{guest.https_port(proxy)}"
    headers = {"Origin": origin, "Referer": f"{origin}{path}"}
    data = read_fields(page) | {name.replace("__", "-"): value for name, value in fields.items()}
    answer = guest.request(proxy, "POST", path, data=data, files=files, headers=headers)
    read_text(answer, 302)
    return str(answer.headers["Location"])


def log_in(guest: Clients, proxy: str) -> None:
    """Logs in to Wagtail's own /admin/."""
    if guest.get(proxy, "/admin/").status_code != 200:
        assert send_form(guest, proxy, "/admin/login/", username=USER, password=PASSWORD).endswith("/admin/")
        assert "Log out" in read_text(guest.get(proxy, "/admin/")), "the dashboard"


def find_home(guest: Clients, proxy: str) -> str:
    """The path of the form that edits the site's first page."""
    (number,) = set(re.findall(r"/admin/pages/(\d+)/edit/", read_text(guest.get(proxy, "/admin/pages/"))))
    return f"/admin/pages/{number}/edit/"


def publish(guest: Clients, proxy: str) -> None:
    """Uploads a picture and publishes the first page with it; every proxy then shows both."""
    log_in(guest, proxy)
    title = f"A picture through {proxy}"
    picture = make_picture(1000)
    files = {"file": (f"{proxy}.png", picture, "image/png")}
    send_form(guest, proxy, "/admin/images/add/", files, title=title)
    listing = read_text(guest.get(proxy, "/admin/images/?ordering=-created_at"))
    number = re.findall(r"/admin/images/(\d+)/", listing)[0]
    text = json.dumps({"blocks": [{"text": f"Written through {proxy}", "type": "unstyled", "depth": 0, "key": "a",
                                   "inlineStyleRanges": [], "entityRanges": []}], "entityMap": {}})  # fmt: skip
    fields = {"title": title, "slug": "home", "body": text, "picture": number, "action__publish": "action-publish"}
    send_form(guest, proxy, find_home(guest, proxy), **fields)
    for other in DEFAULT_PROXIES:
        page = read_text(guest.get(other, "/"))
        assert f"<h1>{title}</h1>" in page
        assert f"Written through {proxy}" in page
        (source,) = re.findall(r'<img[^>]*src="(/media/images/[^"]+)"', page)
        assert guest.get(other, source).headers["Content-Type"] == "image/png"
        original = guest.get(other, f"/media/original_images/{proxy}.png")
        assert original.content == picture, "the picture as it was sent"


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_an_editor_publishes_a_page_with_a_picture(guest: Guest, proxy: str) -> None:
    publish(guest, proxy)


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_the_proxies_serve_the_files_that_django_does_not(guest: Guest, proxy: str) -> None:
    page = read_text(guest.get(proxy, "/"))
    (sheet,) = re.findall(r'href="(/static/css/mysite\.[0-9a-f]{12}\.css)"', page)
    answer = guest.get(proxy, sheet)
    assert read_text(answer) == (guest.source / STYLES).read_text()
    script = f"import http.client; c = http.client.HTTPConnection('127.0.0.1', 8000); c.request('GET', '{sheet}', "
    script += "headers={'Host': 'localhost', 'X-Forwarded-Proto': 'https'}); print(c.getresponse().status)"
    direct = exec_in(guest.container("app"), "python3", "-c", script)
    assert direct == "404", "the application itself has no such path"


@pytest.mark.parametrize("proxy", DEFAULT_PROXIES)
def test_both_admin_areas_are_the_applications(guest: Guest, proxy: str) -> None:
    log_in(guest, proxy)
    assert "Site administration" in read_text(guest.get(proxy, "/django-admin/"))
    assert "WWW-Authenticate" not in guest.get(proxy, "/admin/").headers


def find_sheet(guest: Clients) -> str:
    """The path of the style sheet, whose name has a hash of its content."""
    (path,) = re.findall(r'href="(/static/css/mysite\.[0-9a-f]{12}\.css)"', read_text(guest.get("nginx", "/")))
    return path


def test_a_new_version_takes_over_without_a_failed_request(guest: Guest) -> None:
    old = find_sheet(guest)
    template, styles = guest.source / "mysite/templates/base.html", guest.source / STYLES
    template.write_text(template.read_text().replace('<html lang="en">', '<html lang="en" data-version="2">'))
    styles.write_text("body { font-family: serif; }\n")
    guest.roll_under_load("/", lambda answer: "2" if 'data-version="2"' in (answer.text or "") else "1")
    new = find_sheet(guest)
    for proxy in DEFAULT_PROXIES:
        assert read_text(guest.get(proxy, new)) == styles.read_text()
        assert "sans-serif" in read_text(guest.get(proxy, old)), "a page of the old version still finds its sheet"


def test_an_export_starts_by_itself(guest: Guest) -> None:
    with exported(guest) as export:
        create_superuser(lambda command: export.run("./run", "sh", "-c", command))
        for proxy in DEFAULT_PROXIES:
            publish(export, proxy)
        assert read_text(export.get("caddy", find_sheet(export))) == (guest.source / STYLES).read_text()
