import hashlib
from typing import Any

from fastapi import APIRouter, HTTPException, UploadFile

from app.core.config import settings
from app.core.db import SessionDep
from app.models import File

router = APIRouter(prefix="/files", tags=["files"])


@router.post("/", status_code=201)
async def upload(session: SessionDep, file: UploadFile) -> dict[str, Any]:
    record = File(name=file.filename or "", size=file.size or 0)
    session.add(record)
    await session.flush()
    settings.UPLOADS.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with (settings.UPLOADS / str(record.id)).open("wb") as target:
        while piece := await file.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    await session.commit()
    return {"id": record.id, "size": record.size, "sha256": digest.hexdigest()}


@router.get("/{file_id}")
async def read_file(session: SessionDep, file_id: int) -> dict[str, Any]:
    record = await session.get(File, file_id)
    if record is None:
        raise HTTPException(status_code=404, detail="File not found")
    return {"id": record.id, "name": record.name, "size": record.size, "digest": record.digest}
