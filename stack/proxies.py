"""What each proxy does, and what it lacks: the duties on which they differ, with the reason.

A duty that is not listed here, every proxy has. A lack is strict: the duty's test must fail there, so that a release
which mends it is noticed (`duty` in tests/conftest.py). docs/proxies.md shows this as a table.
"""

import re

from stack import ROOT

# What is promised, and the test that shows it.
DUTIES = {
    "HTTP/3": "test_http_3_is_offered_and_spoken",
    "no answer to unknown hosts": "test_an_unknown_host_gets_no_answer",
    "a time for the head": "test_a_client_that_stops_in_its_headers_is_let_go",
    "static files": "test_static_files_come_from_the_proxy",
    "request id": "test_the_reply_and_the_app_have_the_same_request_id",
}

# Which of them a proxy lacks, and why.
LACKS = {
    ("apache", "HTTP/3"): "Apache httpd has none",
    ("traefik", "no answer to unknown hosts"): "answers 404 itself; it cannot close without an answer",
    ("traefik", "a time for the head"): "counts the whole request, body included: 60 s",
    ("traefik", "static files"): "serves no files; `/static/` goes to the application",
    ("traefik", "request id"): "makes none; that needs a plugin. A client's own is removed",
}


def names() -> list[str]:
    """Every proxy: the services of compose.yaml that have a folder with snippets."""
    services = re.findall(r"^  (\w+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    return [name for name in services if (ROOT / name / "snippets").is_dir()]
