"""Clients of a stack's proxies: sessions for every HTTP version, raw sockets, and the lines of a proxy's log."""

import http.client
import json
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import niquests

from apps import contract
from tests.support.engine import read_logs

SITE = "localhost"  # the name by which the tests ask for the site


class Clients(ABC):
    """The clients of one stack. They trust the stack's authority (`ca`, a PEM file) and no other."""

    def __init__(self, ca: Path) -> None:
        self.ca = ca
        self.sessions: dict[tuple[str, str], niquests.Session] = {}
        self.used: dict[tuple[str, str], float] = {}

    @abstractmethod
    def https_port(self, proxy: str) -> int:
        """The published port of a proxy's site."""

    @abstractmethod
    def container(self, service: str) -> str:
        """The container of a service."""

    def close_sessions(self) -> None:
        """Closes every connection that the tests share."""
        for session in self.sessions.values():
            session.close()

    def connection(self, address: str) -> http.client.HTTPConnection:
        """A client of the proxy's container at `address`, under the site's name. It sends any path as it is written."""
        connection = http.client.HTTPConnection(SITE, timeout=20)
        plain = socket.create_connection((address, 8443), timeout=20)
        connection.sock = self.tls().wrap_socket(plain, server_hostname=SITE)
        return connection

    def new_session(self, proxy: str, version: str = "1.1") -> niquests.Session:
        """A client that speaks one HTTP version, verifies against the stack's authority, and never retries."""
        session = niquests.Session(
            base_url=f"https://{SITE}:{self.https_port(proxy)}",
            retries=0,
            disable_ipv6=True,
            disable_http1=version != "1.1",
            disable_http2=version != "2",
            disable_http3=version != "3",
        )
        session.verify = str(self.ca)
        session.trust_env = False
        if version == "3":
            # QUIC from the first request. A browser would read Alt-Svc first.
            session.quic_cache_layer[(SITE, self.https_port(proxy))] = (SITE, self.https_port(proxy))
        return session

    def session(self, proxy: str, version: str = "1.1") -> niquests.Session:
        """The client that all tests share, with its open connections.

        A proxy closes an idle QUIC connection, and a client that reads nothing does not notice. So a client of HTTP/3
        that was not used for 10 s is made anew.
        """
        key, now = (proxy, version), time.monotonic()
        if version == "3" and key in self.sessions and now - self.used.get(key, now) > 10:
            self.sessions.pop(key).close()
        if key not in self.sessions:
            self.sessions[key] = self.new_session(proxy, version)
        self.used[key] = now
        return self.sessions[key]

    def request(self, proxy: str, method: str, path: str, version: str = "1.1", **more: Any) -> niquests.Response:
        """One request. The answer must have come over `version`."""
        answer = self.session(proxy, version).request(method, path, timeout=20, allow_redirects=False, **more)
        assert answer.http_version == {"1.1": 11, "2": 20, "3": 30}[version]
        return answer

    def get(self, proxy: str, path: str, version: str = "1.1", **more: Any) -> niquests.Response:
        """One GET."""
        return self.request(proxy, "GET", path, version, **more)

    def as_written(self, proxy: str, path: str, version: str = "1.1", **headers: str) -> niquests.Response:
        """One GET of a path as it is written here. The client does not decode or normalize the path."""
        session = self.session(proxy, version)
        request = session.prepare_request(niquests.Request("GET", f"{session.base_url}/", headers=headers))
        request.url = f"{session.base_url}{path}"
        return session.send(request, timeout=20, allow_redirects=False)

    def sender(self, proxy: str, version: str) -> contract.Send:
        """The client in the form that the contract uses."""

        def send(check: contract.Check) -> contract.Answer:
            body = check.pieces() if check.chunked and check.send_body else check.send_body
            answer = self.request(proxy, check.method, check.path, version, headers=check.send_headers, data=body)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return contract.Answer(answer.status_code or 0, headers, answer.content or b"")

        return send

    def tls(self) -> ssl.SSLContext:
        """A client's TLS context that trusts the stack's authority only."""
        return ssl.create_default_context(cafile=str(self.ca))

    @contextmanager
    def socket(self, proxy: str, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """A raw TLS connection to a proxy, for requests that no client library sends. `context` may offer HTTP/2."""
        with socket.create_connection(("127.0.0.1", self.https_port(proxy)), timeout=10) as plain:
            with (context or self.tls()).wrap_socket(plain, server_hostname=SITE) as secure:
                yield secure

    @contextmanager
    def stream(self, proxy: str, path: str) -> Iterator[http.client.HTTPResponse]:
        """A GET on a connection of its own, whose reply is read piece by piece as it comes."""
        connection = http.client.HTTPSConnection(SITE, self.https_port(proxy), timeout=20, context=self.tls())
        try:
            connection.request("GET", path)
            yield connection.getresponse()
        finally:
            connection.close()

    def raw(self, proxy: str, request: bytes) -> bytes:
        """All that a proxy answers to `request` until the proxy closes or sends nothing for a second."""
        answer = b""
        with self.socket(proxy) as connection:
            connection.sendall(request)
            connection.settimeout(1)
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError, ssl.SSLEOFError):
                pass
        return answer

    def log_lines(self, proxy: str, since: float = 0) -> list[dict[str, Any]]:
        """The JSON lines of a proxy's log since a moment (Unix seconds), as objects.

        Docker's log driver takes lines in pieces of 16 kB, and Docker 20.10 loses the line end after a longer line.
        """
        decoder, objects = json.JSONDecoder(), []
        for line in read_logs(self.container(proxy), since).splitlines():
            while line.startswith("{"):
                value, end = decoder.raw_decode(line)
                objects.append(value)
                line = line[end:]
        return objects
