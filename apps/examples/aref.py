# /// script
# requires-python = ">=3.11"
# dependencies = ["uvicorn"]
# ///
"""Which is the smallest ASGI application? A coroutine. Uvicorn serves this example, because asgiref has no server."""

import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Prints the scope, and answers every request with the same words ("hello, world" in Portuguese).

    The application does not look at `scope["type"]`. So a server's lifespan event gets the same answer, and the server
    takes this as "the application has no lifespan". Checked by: test_every_asgi_server_runs_the_talks_example
    """
    print(scope, flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Ola mundo :)"})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
