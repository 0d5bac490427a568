"""What the proxies add to requests and replies, and what they log: headers, request ids, the client's address."""

import json
import uuid

import pytest

from stack.waiting import wait_until
from tests.support.engine import inspect, inspect_network, run_once
from tests.support.stack import IMAGES, StackUnderTest

pytestmark = pytest.mark.usefixtures("any_app")


def test_security_headers_are_on_every_reply(stack: StackUnderTest, proxy: str, version: str) -> None:
    for path in ("/", "/status/500", "/nowhere", "/static/hello.txt", "/static/nothing"):
        headers = stack.get(proxy, path, version).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin", path
        assert "strict-transport-security" not in headers, "a browser would remember HSTS for a developer's localhost"


def test_the_access_log_is_json_and_a_client_writes_no_line_of_it(stack: StackUnderTest, proxy: str) -> None:
    name = uuid.uuid4().hex
    stack.get(proxy, f"/nowhere?q=%22%0a&{name}", headers={"User-Agent": 'a"\\b\t{"status":200}'})
    lines = wait_until(lambda: [line for line in stack.log_lines(proxy) if name in json.dumps(line)])
    assert len(lines) == 1
    assert 404 in (lines[0].get("status"), lines[0].get("DownstreamStatus"))
    assert stack.gateway() in json.dumps(lines[0]), "the client's address"


@pytest.mark.duty("request id")
def test_the_access_log_is_json_and_carries_the_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/nowhere?q=%22%0a", headers={"User-Agent": 'a"\\b'})
    name = answer.headers["x-request-id"]
    seen = stack.get(proxy, "/request").json()
    lines = wait_until(lambda: [line for line in stack.log_lines(proxy) if name in (line.get("id"), line.get("uuid"))])
    assert len(lines) == 1 and lines[0]["status"] == 404
    assert 'a"\\b' in json.dumps(lines[0], ensure_ascii=False).replace("\\\\", "\\").replace('\\"', '"')
    assert seen["headers"]["x-request-id"] != name


def test_a_client_cannot_choose_the_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/request", headers={"X-Request-ID": "chosen-by-the-client"})
    assert "chosen" not in json.dumps(answer.json()) and "chosen" not in str(answer.headers)


@pytest.mark.duty("request id")
def test_every_reply_has_a_request_id(stack: StackUnderTest, proxy: str, version: str) -> None:
    for path in ("/", "/status/500", "/nowhere", "/static/hello.txt", "/static/nothing"):
        assert len(stack.get(proxy, path, version).headers["x-request-id"]) >= 32, path


@pytest.mark.duty("request id")
def test_the_reply_and_the_app_have_the_same_request_id(stack: StackUnderTest, proxy: str) -> None:
    answer = stack.get(proxy, "/request", headers={"X-Request-ID": "chosen-by-the-client"})
    assert answer.json()["headers"]["x-request-id"] == answer.headers["x-request-id"] != "chosen-by-the-client"


def test_each_client_is_seen_by_its_own_address(stack: StackUnderTest, proxy: str) -> None:
    # A second client, in a container on the proxies' network. Its address is another than this host's.
    script = (
        "import http.client, json, socket, ssl\n"
        f"context = ssl.create_default_context(cadata={stack.ca.read_text()!r})\n"
        f"c = http.client.HTTPSConnection('{proxy}', 8443, context=context); c.request('GET', '/request')\n"
        "own = c.sock.getsockname()[0]; print(json.dumps([own, json.load(c.getresponse())['client'][0]]))\n"
    )
    output = run_once(f"{IMAGES}-app", "-c", script, entrypoint="python3", network=stack.network("edge"))
    own, seen = json.loads(output)
    assert seen == own != stack.gateway()


def test_the_app_is_reached_through_the_proxies_only(stack: StackUnderTest) -> None:
    app = inspect(stack.app())
    assert not app["HostConfig"]["PortBindings"]
    networks = [stack.network("backend"), stack.network("data")]
    assert sorted(app["NetworkSettings"]["Networks"]) == networks
    assert all(inspect_network(network)["Internal"] for network in networks)
