"""Writes garden.db, a table of 50,000 plants. The build of the image runs it."""

import sqlite3

FAMILIES = ("Asteraceae", "Fabaceae", "Lamiaceae", "Rosaceae")

with sqlite3.connect("garden.db") as database:
    database.execute("CREATE TABLE plants (id INTEGER PRIMARY KEY, name TEXT, family TEXT, height REAL)")
    rows = ((n, f"plant {n}", FAMILIES[n % 4], n / 7) for n in range(1, 50_001))
    database.executemany("INSERT INTO plants VALUES (?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX plants_family ON plants (family)")
