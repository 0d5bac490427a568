import asyncio
import hashlib
import logging
import signal

from sqlalchemy import select

from app.core.config import settings
from app.core.db import engine, new_session
from app.models import File

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger(__name__)


async def work() -> bool:
    """Digests one file; whether there was one."""
    async with new_session() as session:
        query = select(File).where(File.digest.is_(None)).limit(1).with_for_update(skip_locked=True)
        record = await session.scalar(query)
        if record is None:
            return False
        content = (settings.UPLOADS / str(record.id)).read_bytes()
        record.digest = hashlib.blake2b(content).hexdigest()
        await session.commit()
    logger.info("file %d digested", record.id)
    return True


async def main() -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    logger.info("worker started")
    while not over.is_set():
        if not await work():
            await asyncio.sleep(0.2)
    await engine.dispose()
    logger.info("worker ended")


if __name__ == "__main__":
    asyncio.run(main())
