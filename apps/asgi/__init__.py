"""One ASGI application per file, each under `apps/contract.py`; the file's name is its `APP=` name."""
