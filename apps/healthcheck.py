"""Checks the server of this container: exit code 0 where HEALTH_PATH answers 200 within 3 s, else 1 and the reason."""

import http.client
import os
import sys

path = os.environ.get("HEALTH_PATH", "/ready")
connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=3)
try:
    connection.request("GET", path, headers={"Connection": "close"})
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{path}: {error!r}")
if status != 200:
    sys.exit(f"{path}: {status}")
