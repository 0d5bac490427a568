"""The chosen ASGI application for Daphne. It closes a connection where the application fails within its reply.

Daphne itself would send a second reply, which raises an error in the task that looks after every request. Then that
reply stays open for ever, and no later error of an application is answered. https://github.com/django/daphne

Checked by: test_an_error_of_the_application_is_no_complete_reply
"""

import logging
from typing import Any

from .daphne_lifespan import app as application


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Calls the application. `send` is Daphne's `functools.partial`, and its first argument is the request."""
    try:
        await application(scope, receive, send)
    except Exception:
        request = send.args[0]
        if not getattr(request, "_response_started", False):
            raise
        logging.exception("the application failed in its reply to %s", scope["path"])
        request.loseConnection()
