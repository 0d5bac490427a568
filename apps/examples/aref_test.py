"""How is an ASGI application tested without a server? pytest-asyncio, and httpx with its ASGITransport.

`python3 -m pytest apps/examples/aref_test.py`
"""

import httpx
import pytest

from apps.examples import aref


@pytest.mark.asyncio
async def test_it_says_hello() -> None:
    """The body says "Ola"."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(aref.app), base_url="http://app") as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert "Ola" in answer.text


@pytest.mark.xfail(strict=True, reason='the documents look for "ola", and the body says "Ola"')
@pytest.mark.asyncio
async def test_as_the_documents_write_it() -> None:
    """Fails as written."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(aref.app), base_url="http://app") as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert "ola" in answer.text
