"""The WSGI application that APP names, inside the gateway: what every WSGI server imports."""

from .gateway import Wsgi
from .load import wrap

app = wrap("wsgi", Wsgi)
