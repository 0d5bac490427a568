import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from app import __version__

router = APIRouter(prefix="/utils", tags=["utils"])


@router.get("/health-check/")
async def health_check() -> bool:
    return True


@router.get("/about")
async def about(request: Request) -> dict[str, Any]:
    return {"version": __version__, "docs": str(request.url_for("swagger_ui_html")), "client": request.client.host}


@router.get("/events")
async def events(count: int = 5, pause: float = 0.4) -> StreamingResponse:
    async def send() -> AsyncIterator[str]:
        for number in range(count):
            yield f"id: {number}\ndata: event {number}\n\n"
            await asyncio.sleep(pause)

    return StreamingResponse(send(), media_type="text/event-stream")
