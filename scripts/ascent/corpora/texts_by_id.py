"""Texts found by their ids, on disk: memory does not grow with them."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from .cells import BadRow

# Texts that are written together.
_TOGETHER = 10_000


class TextsById:
    """Texts by id in a temporary file. First all are added, then looked up. what: what they are, for the reasons of
    BadRow."""

    def __init__(self, what: str):
        self.what = what
        self._added: list[tuple[str, str]] = []
        self._complete = False

    def __enter__(self) -> "TextsById":
        self._folder = TemporaryDirectory()
        self._file = sqlite3.connect(Path(self._folder.name) / "texts.sqlite", isolation_level=None)
        # It is gone with the process, so nothing need survive a crash.
        self._file.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE texts (id TEXT, text TEXT);"
        )
        return self

    def __exit__(self, *_) -> None:
        self._file.close()
        self._folder.cleanup()

    def add(self, id: str, text: str) -> None:
        """Add a text. An id may come twice."""
        self._added.append((id, text))
        if len(self._added) == _TOGETHER:
            self._write()

    def text(self, id: str) -> str:
        """Return the text of an id. Raises BadRow if there is none, or there are several, of which any may be meant."""
        if not self._complete:
            self._write()
            self._file.execute("CREATE INDEX by_id ON texts (id)")
            self._complete = True
        found = self._file.execute("SELECT DISTINCT text FROM texts WHERE id = ? LIMIT 2", (id,)).fetchall()
        if not found:
            raise BadRow(f"no {self.what} has its id, and a text")
        if len(found) > 1:
            raise BadRow(f"two {self.what} texts have its id")
        return found[0][0]

    def _write(self) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO texts VALUES (?, ?)", self._added)
        self._file.execute("COMMIT")
        self._added = []
