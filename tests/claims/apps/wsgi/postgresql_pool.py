"""The bare application with a pool of three PostgreSQL connections, opened at import, closed at the process's exit.

Host and user are in the environment (PGHOST, …). PGAPPNAME is the name that the database gives each connection. The
import must come after the fork, because a connection that two processes share breaks.
"""

import atexit
import os

from psycopg_pool import ConnectionPool

from apps.wsgi import bare

SIZE = 3
pool = ConnectionPool(min_size=SIZE, max_size=SIZE, open=False)
pool.open(wait=True, timeout=float(os.environ["POOL_SECONDS"]))
atexit.register(pool.close)
app = bare.app
