"""Makes a small shop.db to try the workflow on, with `python3 sample.py`."""

import sqlite3
from contextlib import closing

with closing(sqlite3.connect("shop.db")) as connection, connection:
    connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, iban TEXT)")
    people = ["Ada Lovelace", "Grace Hopper", "Edsger Dijkstra"]
    rows = [(number, name, f"DE{number:020}") for number, name in enumerate(people, start=1)]
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
