"""Radicale, a calendar server (WSGI): its clients' DAV methods, its data, its log, and a new version under load."""

import json
from collections.abc import Iterator
from uuid import uuid4

import niquests
import pytest

from tests.support.clients import Clients
from tests.support.engine import read_logs
from tests.support.guest_exports import exported
from tests.support.guests import GUESTS, ClientTools, Guest, running
from tests.support.stack import DEFAULT_PROXIES

pytestmark = pytest.mark.guests
USER = ("rosa", "a long password")
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//garden//EN
BEGIN:VEVENT
UID:tomatoes
DTSTAMP:20270101T000000Z
DTSTART:20270301T080000Z
SUMMARY:{}
DESCRIPTION:{}
END:VEVENT
END:VCALENDAR
"""
FIND_IN_MARCH = """<?xml version="1.0"?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
<D:prop><D:getetag/><C:calendar-data/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
<C:time-range start="20270301T000000Z" end="20270401T000000Z"/>
</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"""


@pytest.fixture(scope="module")
def guest(checkout_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """Radicale, up."""
    with running("radicale", tmp_path_factory.mktemp("guest"), APP="radicale:application") as guest:
        yield guest


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> ClientTools:
    """A calendar's client."""
    return ClientTools(tmp_path_factory.mktemp("client"), "caldav==3.6.0")


@pytest.fixture(params=DEFAULT_PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """NGINX and Caddy."""
    return request.param


@pytest.fixture
def calendar(guest: Guest, proxy: str) -> Iterator[str]:
    """The path of an empty calendar."""
    path = f"/rosa/{uuid4()}/"
    assert ask(guest, proxy, "MKCALENDAR", path).status_code == 201
    yield path
    assert ask(guest, proxy, "DELETE", path).status_code == 200


def ask(guest: Clients, proxy: str, method: str, path: str, body: str = "", **headers: str) -> niquests.Response:
    """A request of the user's."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return guest.request(proxy, method, path, data=body.encode(), headers=names, auth=USER)


def test_a_calendars_client_makes_finds_and_deletes_events(guest: Guest, tools: ClientTools, proxy: str) -> None:
    url = f"https://localhost:{guest.https_port(proxy)}/"
    done = tools.run("python", str(GUESTS / "calendar_client.py"), url, str(guest.ca), *USER)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "calendars": ["Garden"],
        "in March": ["Sow tomatoes"] * 3,
        "left": ["Harvest"],
    }


def test_only_the_user_reads_a_calendar(guest: Guest, proxy: str, calendar: str) -> None:
    assert guest.request(proxy, "PROPFIND", calendar).status_code == 401
    assert guest.request(proxy, "PROPFIND", calendar, auth=("rosa", "wrong")).status_code == 401


def test_a_report_finds_an_event(guest: Guest, proxy: str, calendar: str) -> None:
    ask(guest, proxy, "PUT", f"{calendar}tomatoes.ics", EVENT.format("Sow tomatoes", "é"), Content_Type="text/calendar")
    answer = ask(guest, proxy, "REPORT", calendar, FIND_IN_MARCH, Depth="1", Content_Type="application/xml")
    assert answer.status_code == 207
    assert "SUMMARY:Sow tomatoes" in (answer.text or "")


def test_a_change_that_another_client_has_overtaken_is_refused(guest: Guest, proxy: str, calendar: str) -> None:
    path, more = f"{calendar}tomatoes.ics", "manure " * 2000
    assert ask(guest, proxy, "PUT", path, EVENT.format("Sow", more), If_None_Match="*").status_code == 201
    assert ask(guest, proxy, "PUT", path, EVENT.format("Again", more), If_None_Match="*").status_code == 412
    first = ask(guest, proxy, "GET", path, Accept_Encoding="gzip")
    assert "SUMMARY:Sow" in (first.text or "")
    seen = first.headers["etag"]
    assert ask(guest, proxy, "PUT", path, EVENT.format("Plant", more), If_Match=seen).status_code == 204
    assert ask(guest, proxy, "PUT", path, EVENT.format("Late", more), If_Match=seen).status_code == 412
    assert ask(guest, proxy, "DELETE", path, If_Match=seen).status_code == 412
    assert "SUMMARY:Plant" in (ask(guest, proxy, "GET", path).text or "")
    assert ask(guest, proxy, "DELETE", path).status_code == 200
    assert ask(guest, proxy, "GET", path).status_code == 404


def test_an_event_moves(guest: Guest, proxy: str, calendar: str) -> None:
    """Radicale compares the host and the port of Destination with those that the client asked."""
    ask(guest, proxy, "PUT", f"{calendar}a.ics", EVENT.format("Sow", ""))
    new = f"https://localhost:{guest.https_port(proxy)}{calendar}b.ics"
    assert ask(guest, proxy, "MOVE", f"{calendar}a.ics", Destination=new).status_code == 201
    assert ask(guest, proxy, "GET", f"{calendar}b.ics").status_code == 200


def test_its_log_has_the_id_of_a_request(guest: Guest, proxy: str) -> None:
    request_id = ask(guest, proxy, "PROPFIND", "/rosa/", Depth="0").headers["x-request-id"]
    lines = [line for line in read_logs(guest.container("app")).splitlines() if request_id in line]
    assert any("PROPFIND request for '/rosa/'" in line for line in lines)


def test_a_new_version_takes_over_under_load_and_finds_the_events(guest: Guest) -> None:
    ask(guest, "nginx", "MKCALENDAR", "/rosa/kept/")
    ask(guest, "nginx", "PUT", "/rosa/kept/tomatoes.ics", EVENT.format("Sow", ""))
    config = guest.source / "config"
    config.write_text(config.read_text().replace("X-Version = 1", "X-Version = 2"))
    answers = guest.roll_under_load("/.web/", lambda answer: answer.headers["x-version"])
    assert set(answers) == {"1", "2"}
    assert "SUMMARY:Sow" in (ask(guest, "caddy", "GET", "/rosa/kept/tomatoes.ics").text or "")


def test_an_export_starts_by_itself(guest: Guest) -> None:
    with exported(guest) as export:
        for proxy in DEFAULT_PROXIES:
            assert ask(export, proxy, "MKCALENDAR", f"/rosa/{proxy}/").status_code == 201
            assert ask(export, proxy, "PUT", f"/rosa/{proxy}/a.ics", EVENT.format("Sow", "")).status_code == 201
            report = ask(export, proxy, "REPORT", f"/rosa/{proxy}/", FIND_IN_MARCH, Depth="1")
            assert "SUMMARY:Sow" in (report.text or "")
