"""What runs inside the probe container, where this folder is /srv/probe.

`features.py` asks every feature of a place, with the clients of `http1.py`, `http2.py` and `http3.py`.
`single_server.py` starts a server as `servers.py` says, and asks it. `asgi.py` and `wsgi.py` are the applications.
"""
