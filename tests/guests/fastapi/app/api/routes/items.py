import logging
from typing import Any

from fastapi import APIRouter, BackgroundTasks, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from app.core.db import SessionDep, new_session
from app.models import Item, Mail

router = APIRouter(prefix="/items", tags=["items"])
logger = logging.getLogger(__name__)


class ItemCreate(BaseModel):
    title: str


class ItemPublic(ItemCreate):
    model_config = ConfigDict(from_attributes=True)

    id: int


async def send_mail(item_id: int, text: str) -> None:
    async with new_session() as session:
        session.add(Mail(item_id=item_id, text=text))
        await session.commit()
    logger.info("mail sent for item %d", item_id)


@router.get("/", response_model=list[ItemPublic])
async def read_items(session: SessionDep, limit: int = 100) -> Any:
    return (await session.scalars(select(Item).order_by(Item.id).limit(limit))).all()


@router.post("/", response_model=ItemPublic, status_code=201)
async def create_item(session: SessionDep, tasks: BackgroundTasks, data: ItemCreate) -> Any:
    item = Item(title=data.title)
    session.add(item)
    await session.commit()
    logger.info("item %d created", item.id)
    tasks.add_task(send_mail, item.id, f"New: {item.title}")
    return item


@router.get("/{item_id}/mails")
async def read_mails(session: SessionDep, item_id: int) -> list[str]:
    return list(await session.scalars(select(Mail.text).where(Mail.item_id == item_id)))


@router.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            async with new_session() as session:
                item = Item(title=await websocket.receive_text())
                session.add(item)
                await session.commit()
                await websocket.send_json({"id": item.id, "title": item.title, "scheme": websocket.url.scheme})
    except WebSocketDisconnect:
        logger.info("the client has left")
