"""What does one megabyte up cost?

`POST /upload`: the application reads the whole body and answers with its SHA-256.
"""

from types import MappingProxyType

from loadtests.generator.lean_user import LeanUser


class Upload(LeanUser):
    """Sends a megabyte."""

    method, path = "POST", "/upload"
    headers = MappingProxyType({"Content-Type": "application/octet-stream"})
    body = bytes(range(256)) * 4096
    reply = b'{"bytes":1048576,"sha256":"fbbab289f7f94b25736c58be46a994c441fd02552cc6022352e3d86d2fab7c83"}'
    offered = 20
