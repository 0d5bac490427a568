"""How is a WSGI application tested without a server? With httpx, its WSGITransport and its synchronous client.

`python3 -m pytest apps/examples/ref_test.py`
"""

import httpx

from apps.examples import ref


def test_it_says_hello() -> None:
    """The body is "Hello world!"."""
    with httpx.Client(transport=httpx.WSGITransport(ref.app), base_url="http://app") as client:
        answer = client.get("/")
    assert answer.status_code == 200
    assert answer.text == "Hello world!"
