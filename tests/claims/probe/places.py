"""Where a server listens, what a probe answers, and the settings that all clients share."""

import ssl
import subprocess
from functools import cache
from typing import NamedTuple

CA = "/certs/ca.pem"
PATIENCE = 10.0  # seconds that an answer may take
Address = tuple[str, int]
Result = tuple[str, str]  # "yes" or "no", and a note


class Places(NamedTuple):
    """Where a server listens: without TLS, and with it (HTTP/3 on the same number).

    `prefer_clear`: HTTP/1 is asked for without TLS where there is a clear port. A proxy serves over TLS only, and
    redirects on its clear port.
    """

    clear: Address | None = None
    tls: Address | None = None
    prefer_clear: bool = True

    @property
    def http1(self) -> Address:
        """Where HTTP/1 is asked for."""
        address = self.clear if self.prefer_clear and self.clear else self.tls or self.clear
        assert address
        return address

    @property
    def http1_has_tls(self) -> bool:
        """Whether HTTP/1 is asked for over TLS."""
        return self.http1 == self.tls


def tls_context(protocols: list[str]) -> ssl.SSLContext:
    """A client context that trusts the stack's authority only, and offers these protocols by ALPN."""
    context = ssl.create_default_context(cafile=CA)
    context.set_alpn_protocols(protocols)
    return context


def describe_error(error: OSError) -> str:
    """What ended a probe, in the same words whichever side was faster."""
    if isinstance(error, TimeoutError):
        return "silence"
    return "closed" if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError) else str(error)[:60]


def url(address: Address, scheme: str) -> str:
    """The URL of a place."""
    return f"{scheme}://{address[0]}:{address[1]}/"


def run_curl(*arguments: str) -> tuple[str, str]:
    """The HTTP version and the status that curl saw; or "" and the error."""
    command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", "15", "--noproxy", "*"]
    command += ["--cacert", CA, "--write-out", "%{http_version} %{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "", " ".join(done.stderr.split())[:80] or f"curl: ({done.returncode})"
    version, status = done.stdout.split()
    return version, status


@cache
def curl_has_http3() -> bool:
    """Whether curl is built with HTTP/3."""
    return "HTTP3" in subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
