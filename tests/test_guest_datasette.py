"""Datasette, which publishes a SQLite file (ASGI): pages, JSON, facets, a CSV export as a stream, and a new version."""

import csv
import io
import json
import time
from collections.abc import Iterator

import niquests
import pytest

from tests.support.clients import Clients
from tests.support.guest_exports import exported
from tests.support.guests import Guest, running
from tests.support.stack import DEFAULT_PROXIES

pytestmark = pytest.mark.guests
ROWS = 50_000
PART = 100
EXPORT = "/garden/plants.csv?_stream=on"


@pytest.fixture(scope="module")
def guest(checkout_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """Datasette, up on uvicorn, with its data made while the image is built."""
    settings = {"APP": "asgi:app", "SERVER": "uvicorn", "APP_BUILD": "python make_data.py"}
    with running("datasette", tmp_path_factory.mktemp("guest"), **settings) as guest:
        yield guest


@pytest.fixture(params=DEFAULT_PROXIES)
def proxy(request: pytest.FixtureRequest) -> str:
    """NGINX and Caddy."""
    return request.param


def test_its_pages_and_links_name_the_address_that_the_client_asked(guest: Guest, proxy: str) -> None:
    answer = guest.get(proxy, "/")
    assert answer.status_code == 200
    assert "<title>Garden: garden</title>" in (answer.text or "")
    assert f"<https://localhost:{guest.https_port(proxy)}/.json>" in f"<{answer.headers['link'].partition(';')[0]}>"


def test_its_static_files_are_its_own(guest: Guest, proxy: str) -> None:
    answer = guest.get(proxy, "/-/static/app.css")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css")
    assert "body" in (answer.text or "")


def test_json_pages_and_facets(guest: Guest, proxy: str) -> None:
    page = guest.get(proxy, "/garden/plants.json?_size=2&_shape=objects&_facet=family").json()
    assert [row["name"] for row in page["rows"]] == ["plant 1", "plant 2"]
    assert page["filtered_table_rows_count"] == ROWS
    facets = {each["value"]: each["count"] for each in page["facet_results"]["family"]["results"]}
    assert facets == dict.fromkeys(("Asteraceae", "Fabaceae", "Lamiaceae", "Rosaceae"), ROWS // 4)
    following = guest.get(proxy, page["next_url"].partition(str(guest.https_port(proxy)))[2]).json()
    assert following["rows"][0]["id"] == 3


def test_a_query_with_characters_of_every_kind(guest: Guest, proxy: str) -> None:
    """Its tables and queries are in the path and the query, where a proxy must change no character."""
    query = "select ':é&+/%20' as text, count(*) as n from plants where family = :family"
    answer = guest.get(proxy, "/garden.json", params={"sql": query, "family": "Rosaceae", "_shape": "array"})
    assert answer.json() == [{"text": ":é&+/%20", "n": ROWS // 4}]


def time_export(clients: Clients, proxy: str, measure: str) -> tuple[float, float]:
    """Exports the table, checks each row, and returns the seconds to the first rows and to the end."""
    started = time.monotonic()
    with clients.stream(proxy, EXPORT) as answer:
        assert (answer.status, answer.getheader("content-length")) == (200, None)
        text = answer.read(1000)
        first = time.monotonic() - started
        text += answer.read()
    rows = list(csv.reader(io.StringIO(text.decode())))
    assert rows[0] == ["id", "name", "family", measure]
    assert [int(row[0]) for row in rows[1:]] == list(range(1, ROWS + 1))
    return first, time.monotonic() - started


def test_a_csv_export_streams(guest: Guest, proxy: str) -> None:
    """The first rows arrive at once, while the application still reads the others; no row is lost."""
    first, seconds = time_export(guest, proxy, "height")
    assert first < seconds / 3, f"the first rows came after {first:.1f} s of {seconds:.1f} s"


def read_columns(answer: niquests.Response) -> str:
    """The columns of an export, which must have each of its rows."""
    lines = (answer.text or "").splitlines()
    return lines[0] if len(lines) == PART else f"{len(lines)} lines"


def test_a_new_version_of_the_data_takes_over_while_clients_export(guest: Guest) -> None:
    make_data = guest.source / "make_data.py"
    make_data.write_text(make_data.read_text().replace("height", "centimetres"))
    answers = guest.roll_under_load(f"{EXPORT}&id__lt={PART}", read_columns)
    assert set(answers) == {"id,name,family,height", "id,name,family,centimetres"}
    plants = json.loads(guest.get("caddy", "/garden/plants/7.json?_shape=array").text or "")
    assert plants == [{"id": 7, "name": "plant 7", "family": "Rosaceae", "centimetres": 1.0}]


def test_an_export_starts_by_itself(guest: Guest) -> None:
    with exported(guest) as deployment:
        for proxy in DEFAULT_PROXIES:
            time_export(deployment, proxy, "centimetres")
