# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn"]
# ///
"""Which is the smallest ASGI application? A coroutine; Uvicorn serves it here, for asgiref has no server."""

import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Prints what it was asked with, and answers with the same words.

    It never looks at `scope["type"]`, so a server's lifespan events get the same answer: servers take that as "no
    lifespan here". Checked by: test_every_asgi_server_runs_the_documents_example
    """
    print(scope, flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Ola mundo :)"})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
