"""Somebody's application: a Django site for one host and for https only, which says what it finds around itself.

It runs on every server (tests/test_guest.py). The file is mounted as guest/site.py of the user's project.
"""

import getpass
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

EVENTS: list[str] = []
LOG_LINE = 'guest: é "quoted" \\ back'


def work_in_a_pool() -> str:
    """What a second process computes; the error in words where no process can be started."""
    try:
        with ProcessPoolExecutor(1) as pool:
            return str(pool.submit(pow, 2, 10).result(20))
    except Exception as error:
        return repr(error)


def show_surroundings(request: HttpRequest) -> JsonResponse:
    """What an application reads of its container, its server and its environment."""
    print(LOG_LINE, file=sys.stderr, flush=True)
    return JsonResponse(
        {
            "user": getpass.getuser(),
            "home": str(Path.home()),
            "secret": os.environ.get("SECRET_KEY"),
            "workers": os.environ["WORKERS"],
            "lifespan": EVENTS,
            "pool": work_in_a_pool(),
        }
    )


def confirm(request: HttpRequest) -> JsonResponse:
    """The health check's answer."""
    return JsonResponse({"client": request.META["REMOTE_ADDR"]})


urlpatterns = [path("surroundings", show_surroundings), path("health", confirm)]
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["shop.example"],
    SECURE_SSL_REDIRECT=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
)
django.setup()


def make_app() -> Any:
    """The site for the interface of the server that runs."""
    if os.environ["INTERFACE"] == "wsgi":
        from django.core.handlers.wsgi import WSGIHandler

        return WSGIHandler()
    from django.core.handlers.asgi import ASGIHandler

    site = ASGIHandler()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await site(scope, receive, send)
            return
        while (event := await receive())["type"] != "lifespan.shutdown":
            EVENTS.append(event["type"])
            await send({"type": "lifespan.startup.complete"})
        print("guest: shutdown", file=sys.stderr, flush=True)
        await send({"type": "lifespan.shutdown.complete"})

    return answer


app = make_app()
