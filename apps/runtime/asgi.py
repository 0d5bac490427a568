"""The ASGI application that APP names, inside the gateway: what every ASGI server imports."""

from .gateway import Asgi
from .load import wrap

app = wrap("asgi", Asgi)
