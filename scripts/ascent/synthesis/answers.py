"""What is asked and answered, and the file in which answers are kept under the digest of what was asked."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import AscentError
from ..files import digest_of


@dataclass(frozen=True, slots=True)
class Request:
    """One question. messages: (role, text), the roles those of OpenAI's protocol. schema: the JSON schema of the
    answer."""

    messages: tuple[tuple[str, str], ...]
    schema: dict[str, Any]
    seed: int

    def key(self, answering: Any) -> str:
        """Return the digest of the request and of everything else that its answer depends on."""
        return digest_of([answering, self.messages, self.schema, self.seed])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote. complete: not cut off at its longest. Tokens are 0 where the server does not count them."""

    text: str
    complete: bool = True
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without an answer: the reason, which is counted, and what the server said."""

    reason: str
    said: str = ""


class Answers:
    """A file of answers. Each is kept before anything is done with it; a failure only until the next run, which asks
    again.

    A database of SQLite, since the keys of 100 million answers would not fit into memory.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise AscentError(
                f"{self.path}: another process asks for these answers; wait until it ends, or end it."
            ) from None
        with self._errors():
            self._database = sqlite3.connect(self.path, timeout=60)
            with self._database:
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, failed INTEGER, answer TEXT) WITHOUT"
                    " ROWID"
                )

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_) -> None:
        self._database.close()
        self._lock.release()

    def get(self, key: str) -> Answer | Failure | None:
        """Return what was answered; None if nothing was."""
        with self._errors():
            found = self._database.execute("SELECT failed, answer FROM answers WHERE key = ?", (key,)).fetchone()
        return found and (Failure if found[0] else Answer)(**json.loads(found[1]))

    def keep(self, answered: Iterable[tuple[str, Answer | Failure]]) -> None:
        """Write answers to disk."""
        # As ASCII: an answer may hold half a surrogate pair, which is not UTF-8.
        rows = [(key, isinstance(answer, Failure), json.dumps(asdict(answer))) for key, answer in answered]
        with self._errors(), self._database:
            self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def forget_failures(self) -> None:
        """Remove the failures of an earlier run."""
        with self._errors(), self._database:
            self._database.execute("DELETE FROM answers WHERE failed")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise AscentError(
                f"{self.path}: the file of answers cannot be used ({error}); free some space, or "
                "move the file away, whose answers are then asked for again."
            ) from error
