"""Rows that wait on disk until those that belong together can be read together, in an order of their own."""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter


class Spill:
    """Rows with these columns, of text and numbers, in a temporary database.

    SQLite keeps what exceeds a few MB in files of `TMPDIR`, and sorts there, too.

    >>> spill = Spill("premise", "hypothesis")
    >>> spill.add("a", "c")
    >>> spill.add("a", "b")
    >>> list(spill.groups("premise"))
    [(('a',), [('a', 'b'), ('a', 'c')])]

    A hash as the first column puts them in an order that says nothing, of which a data set may take the first rows.
    """

    def __init__(self, *columns: str):
        self.columns = columns
        self._rows = sqlite3.connect("", isolation_level=None)  # "" is a database of a temporary file
        for setting in ("journal_mode = OFF", "temp_store = FILE"):
            self._rows.execute(f"PRAGMA {setting}")
        self._rows.execute(f"CREATE TABLE spilled ({', '.join(columns)})")
        self._rows.execute("BEGIN")
        self._insert = f"INSERT INTO spilled VALUES ({', '.join('?' * len(columns))})"

    def add(self, *row: str | float | None) -> None:
        """Put a row aside."""
        self._rows.execute(self._insert, row)

    def groups(self, *key: str) -> Iterator[tuple[tuple, list[tuple]]]:
        """Yield each value of the key, which is the first columns, with its rows, all sorted, in whatever order they
        came."""
        rows = self._rows.execute(f"SELECT * FROM spilled ORDER BY {', '.join(self.columns)}")
        for value, group in groupby(rows, key=itemgetter(slice(len(key)))):
            yield value, list(group)
        self._rows.close()
