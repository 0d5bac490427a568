"""One request, in the same words under WSGI and under ASGI."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One request: `native` is the WSGI environ or the ASGI scope, `value` is the parameter in the path."""

    native: Mapping[str, Any]
    body: bytes = b""
    value: str = ""

    @property
    def is_wsgi(self) -> bool:
        """Whether `native` is a WSGI environ."""
        return "wsgi.version" in self.native

    @property
    def interface(self) -> str:
        """The interface between server and application: `wsgi`, `asgi`, or `none` for Tornado's own handlers."""
        return "wsgi" if self.is_wsgi else "asgi" if "asgi" in self.native else "none"

    @property
    def query(self) -> str:
        """The raw query string, without the question mark."""
        if self.is_wsgi:
            return self.native.get("QUERY_STRING", "")
        return self.native["query_string"].decode("latin-1")

    def header(self, name: str) -> str:
        """The value of the header `name` (lower case); "" where the client sent none."""
        if self.is_wsgi:
            key = name.upper().replace("-", "_")
            return self.native.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}") or ""
        raw_name = name.encode()
        return next((value.decode("latin-1") for key, value in self.native["headers"] if key == raw_name), "")

    def describe(self) -> dict[str, Any]:
        """The request as the application sees it, in one shape for both interfaces.

        `native` has the name of the type of each value in the environ or scope. It shows, for example, a port that the
        server hands over as a string.
        """
        fields = describe_environ(self.native) if self.is_wsgi else describe_scope(self.native)
        types = {str(key): type(value).__name__ for key, value in self.native.items()}
        return fields | {"interface": self.interface, "query": self.query, "native": types}


def describe_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request in a WSGI environ (PEP 3333)."""
    headers = {
        key.removeprefix("HTTP_").replace("_", "-").lower(): value
        for key, value in environ.items()
        if (key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"))
        or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        "root_path": environ.get("SCRIPT_NAME", ""),
        "scheme": environ["wsgi.url_scheme"],
        "http_version": environ.get("SERVER_PROTOCOL", "").removeprefix("HTTP/"),
        "client": [environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")],
        "server": [environ.get("SERVER_NAME"), environ.get("SERVER_PORT")],
        "headers": headers,
    }


def describe_scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request in an ASGI scope."""
    return {
        "method": scope["method"],
        "path": scope["path"],
        "root_path": scope.get("root_path", ""),
        "scheme": scope.get("scheme", "http"),
        "http_version": scope["http_version"],
        "client": list(scope.get("client") or (None, None)),
        "server": list(scope.get("server") or (None, None)),
        "headers": {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]},
    }
