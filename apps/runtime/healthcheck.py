"""Checks the server of this container: exit code 0 where HEALTH_PATH answers 200 within 3 s, else 1 and the reason.

Without a HEALTH_PATH, any answer to `/` that is not an error of the server's (5xx) is good.

The request is the one that a proxy sends: for the site's first name, over https. So a framework that checks the host or
redirects to https answers as it answers a user (Django: ALLOWED_HOSTS, SECURE_SSL_REDIRECT).
Checked by: test_the_health_check_asks_as_the_sites_client
"""

import http.client
import os
import sys

health_path = os.environ.get("HEALTH_PATH", "/ready")
path = health_path or "/"
name = (os.environ.get("DOMAIN", "").split() or ["localhost"])[0]
headers = {
    "Host": name,
    "X-Forwarded-Host": name,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "127.0.0.1",
    "Connection": "close",
}
connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=3)
try:
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{path}: {error!r}")
if not (status == 200 if health_path else status < 500):
    sys.exit(f"{path}: {status}, for https://{name}{path}")
