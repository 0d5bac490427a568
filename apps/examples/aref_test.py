"""How is an ASGI application tested without a server? With pytest-asyncio, and httpx with its ASGITransport.

`python3 -m pytest apps/examples/aref_test.py`
"""

import httpx
import pytest

from apps.examples import aref


@pytest.mark.asyncio
async def test_it_says_hello() -> None:
    """The body has "Ola"."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(aref.app), base_url="http://app") as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert "Ola" in answer.text


@pytest.mark.xfail(strict=True, reason='the talk looks for "ola", and the body has "Ola"')
@pytest.mark.asyncio
async def test_as_the_talk_writes_it() -> None:
    """The test as the talk writes it fails."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(aref.app), base_url="http://app") as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert "ola" in answer.text
