"""Datasette's own application, for an ASGI server. https://docs.datasette.io/en/0.65.5/deploying.html"""

from datasette.app import Datasette

app = Datasette(["garden.db"], metadata={"title": "Garden"}, settings={"max_csv_mb": 0}).app()
