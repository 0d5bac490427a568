"""The chosen WSGI application as an ASGI one, through a2wsgi, for servers that speak ASGI only.

a2wsgi runs each request in one of THREADS threads. https://github.com/abersheeran/a2wsgi
"""

import os
from importlib import import_module

from a2wsgi import WSGIMiddleware

app = WSGIMiddleware(import_module(f"apps.wsgi.{os.environ['APP']}").app, workers=int(os.environ["THREADS"]))
