"""The applications without a server: the contract in process, and which proxies the gateway trusts."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any
from wsgiref.util import is_hop_by_hop
from wsgiref.validate import validator

import httpx
import pytest

from apps import contract
from apps.runtime import gateway, serve


def pieces(body: bytes) -> Iterator[bytes]:
    return (body[at : at + 65536] for at in range(0, len(body), 65536))


async def async_pieces(body: bytes) -> AsyncIterator[bytes]:
    for piece in pieces(body):
        yield piece


def answer(response: httpx.Response) -> contract.Answer:
    return contract.Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def wsgi_sender(app: Any) -> contract.Send:
    def repaired(environ: dict[str, Any], start_response: Any) -> Any:
        # httpx 0.28 gives PATH_INFO as text, but PEP 3333 asks for bytes as latin-1. httpx also does not say that its
        # input ends by itself.
        environ["PATH_INFO"] = environ["PATH_INFO"].encode().decode("latin-1")
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input_terminated"] = True
        return app(environ, start_response)

    def send(check: contract.Check) -> contract.Answer:
        body = pieces(check.send_body) if check.chunked and check.send_body else check.send_body
        with httpx.Client(transport=httpx.WSGITransport(app=repaired), base_url="http://app") as client:
            return answer(client.request(check.method, check.path, headers=check.send_headers, content=body))

    return send


def asgi_sender(app: Any) -> contract.Send:
    async def ask(check: contract.Check) -> contract.Answer:
        body = async_pieces(check.send_body) if check.chunked and check.send_body else check.send_body
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as client:
            return answer(await client.request(check.method, check.path, headers=check.send_headers, content=body))

    return lambda check: asyncio.run(ask(check))


def application(interface: str, name: str) -> Any:
    wrap = {"asgi": gateway.Asgi, "wsgi": gateway.Wsgi}[interface]
    return wrap(importlib.import_module(f"apps.{interface}.{name}").app)


@pytest.mark.parametrize("name", serve.apps("wsgi"))
def test_a_wsgi_application_keeps_the_contract(name: str) -> None:
    assert contract.verify(wsgi_sender(application("wsgi", name)), contract.CHECKS + contract.GUARDED) == {}


@pytest.mark.parametrize("name", serve.apps("asgi"))
def test_an_asgi_application_keeps_the_contract(name: str) -> None:
    assert contract.verify(asgi_sender(application("asgi", name)), contract.CHECKS + contract.GUARDED) == {}


@pytest.mark.parametrize("name", serve.apps("wsgi"))
def test_the_reference_validator_accepts_a_wsgi_application(name: str) -> None:
    # wsgiref.validate forbids read() without a size, although PEP 3333 allows it. So no check has a chunked body.
    checks = tuple(check for check in contract.CHECKS if not check.chunked)
    assert contract.verify(wsgi_sender(validator(application("wsgi", name))), checks) == {}


def test_the_contract_notices_an_application_that_differs() -> None:
    def other(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain; charset=utf-8"), ("content-length", "14")])
        return [b"Hello, World!\n"]

    faults = contract.verify(wsgi_sender(other))
    assert "hello" in faults and "status 204" in faults and "login: malformed JSON" in faults


def test_an_upload_that_breaks_off_is_refused() -> None:
    view = importlib.import_module("apps.work")
    environ = {"wsgi.version": (1, 0), "CONTENT_LENGTH": "100"}
    assert view.upload(view.Request(environ, b"ten bytes.")).status == 400
    assert view.upload(view.Request({**environ, "CONTENT_LENGTH": "10"}, b"ten bytes.")).status == 200


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(gateway, "_TRUSTED", (ip_network("172.28.0.0/24"),))
    for cached in (gateway.is_proxy, gateway.read_client):
        cached.cache_clear()
    yield
    for cached in (gateway.is_proxy, gateway.read_client):
        cached.cache_clear()


def seen_by_wsgi(peer: str, **headers: str) -> tuple[str, str]:
    seen = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    gateway.Wsgi(app)({"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", **headers}, None)
    return seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]


def seen_by_asgi(peer: str, kind: str = "http", **headers: str) -> tuple[str, str]:
    seen = {}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.update(scope)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "client": (peer, 4711), "scheme": "http", "headers": raw}
    asyncio.run(gateway.Asgi(app)(scope, None, None))
    return seen["client"][0], seen["scheme"]


def test_a_chunked_body_that_the_server_does_not_decode_is_refused() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("the application was asked")

    response: list[Any] = []
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": object()}
    body = gateway.Wsgi(never)(environ, lambda status, headers: response.extend((status, headers)))
    assert (response[0], b"".join(body)) == ("411 Length Required", b"")
    assert not any(is_hop_by_hop(name) for name, _ in response[1]), "PEP 3333 forbids such a header"


@pytest.mark.usefixtures("trusting")
def test_only_a_peer_in_a_trusted_network_may_name_the_client() -> None:
    headers = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https"}
    assert seen_by_wsgi("172.28.0.3", **headers) == ("203.0.113.9", "https")
    assert seen_by_wsgi("172.29.0.3", **headers) == ("172.29.0.3", "http")
    headers = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}
    assert seen_by_asgi("172.28.0.3", **headers) == ("203.0.113.9", "https")
    assert seen_by_asgi("172.29.0.3", **headers) == ("172.29.0.3", "http")
    assert seen_by_asgi("172.28.0.3", "websocket", **headers) == ("203.0.113.9", "wss")


@pytest.mark.usefixtures("trusting")
def test_of_several_addresses_the_one_that_our_proxy_wrote_counts() -> None:
    assert seen_by_wsgi("172.28.0.3", HTTP_X_FORWARDED_FOR="6.6.6.6, 203.0.113.9")[0] == "203.0.113.9"
    assert seen_by_asgi("172.28.0.3", x_forwarded_for="6.6.6.6, 203.0.113.9")[0] == "203.0.113.9"
    # A load balancer that serve.py has added to the trusted networks, and that Traefik adds to the list.
    assert seen_by_wsgi("172.28.0.3", HTTP_X_FORWARDED_FOR="6.6.6.6, 203.0.113.9, 172.28.0.9")[0] == "203.0.113.9"
    assert seen_by_asgi("172.28.0.3", x_forwarded_for="172.28.0.8, 172.28.0.9")[0] == "172.28.0.8"


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("nonsense", ["", "unknown", "203.0.113.9:80", "<script>"])
def test_an_address_that_is_none_changes_nothing(nonsense: str) -> None:
    assert seen_by_wsgi("172.28.0.3", HTTP_X_FORWARDED_FOR=nonsense)[0] == "172.28.0.3"
    assert seen_by_asgi("172.28.0.3", x_forwarded_for=nonsense)[0] == "172.28.0.3"


def test_the_networks_of_a_container_are_read_from_its_routes(tmp_path: Any) -> None:
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t00001CAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert serve.attached_networks(str(routes)) == ["172.28.0.0/24"]
