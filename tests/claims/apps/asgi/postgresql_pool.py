"""The bare application with a pool of three PostgreSQL connections, opened at lifespan start-up, closed at shutdown.

Host and user are in the environment (PGHOST, …). PGAPPNAME is the name that the database gives each connection.
"""

import os
from typing import Any

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from apps.asgi import bare

SIZE = 3
pool = AsyncConnectionPool(min_size=SIZE, max_size=SIZE, open=False)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Handles the lifespan, and passes all other scopes on."""
    if scope["type"] != "lifespan":
        await bare.app(scope, receive, send)
        return
    while True:
        event = (await receive())["type"]
        if event == "lifespan.startup":
            try:
                await pool.open(wait=True, timeout=float(os.environ["POOL_SECONDS"]))
            except PoolTimeout as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        else:
            await pool.close()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
