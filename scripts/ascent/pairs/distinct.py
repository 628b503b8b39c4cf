"""Which of a data set's texts are equal, out of memory: a text stands for 16 bytes of its BLAKE2b digest, and DuckDB
finds those that come again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .arrays import BLOCK, blocks
from .database import Database, numbered, quoted

_KEYS = pa.schema({"high": pa.int64(), "low": pa.int64()})
_PAIRS = pa.schema({"query": pa.int64(), "answer": pa.int64()})


@contextmanager
def writing_numbers(path: Path, schema: pa.Schema) -> Iterator[Callable[..., None]]:
    """Yield a function that adds rows to a new table, of which it is given the columns."""
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        yield lambda *columns: writer.write_table(pa.table(list(columns), schema=schema))


@contextmanager
def writing_keys(path: Path) -> Iterator[Callable[[Iterable[str]], int]]:
    """Yield a function that adds the keys of some texts to a new table."""
    with writing_numbers(path, _KEYS) as write:

        def add(texts: Iterable[str]) -> None:
            digests = b"".join(blake2b(text.encode(), digest_size=16).digest() for text in texts)
            keys = np.frombuffer(digests, dtype="<i8").reshape(-1, 2)
            write(np.ascontiguousarray(keys[:, 0]), np.ascontiguousarray(keys[:, 1]))

        yield add


def number_texts(keys: Sequence[Path], folder: Path) -> np.ndarray:
    """Return the place of each text among the distinct ones in order of first occurrence: int64, mapped.

    keys: tables of texts' keys, one text after another. folder: for the files that this makes.
    """
    count = sum(pq.read_metadata(path).num_rows for path in keys)
    first = f"SELECT row, min(row) OVER (PARTITION BY high, low) AS first FROM ({numbered(keys, 'high, low')})"
    again = query(f"SELECT row, first FROM ({first}) WHERE row > first ORDER BY row", folder)
    places = np.memmap(folder / f"{keys[0].stem}-places", np.int64, "w+", shape=count).view(np.ndarray)
    repeats, number = _between(again), 0
    for block in blocks(count):
        found = np.arange(block.start, block.stop)
        place, before = repeats(block.stop)
        found[place - block.start] = before
        new = found == np.arange(block.start, block.stop)
        places[block][new] = np.arange(number, number + new.sum())
        places[block][~new] = places[found[~new]]
        number += int(new.sum())
    return places


def new_texts(places: np.ndarray, before: int) -> np.ndarray:
    """Return which of some texts, of these places, occur for the first time. before: how many distinct ones came
    earlier."""
    highest = np.maximum.accumulate(np.concatenate([[before - 1], places]))
    return np.diff(highest) > 0


def distinct_answers(pairs: Path, folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the distinct pairs (query, answer) of a table of their ids, by query, then in order of first occurrence."""
    rows = numbered([pairs], "query, answer")
    first = f"SELECT query, answer, min(row) AS row FROM ({rows}) GROUP BY query, answer"
    return query(f"SELECT query, answer FROM ({first}) ORDER BY query, row", folder)


def writing_answers(path: Path):
    """Yield a function that adds ids of queries and of their answers to a new table."""
    return writing_numbers(path, _PAIRS)


def count_distinct(numbers: Path, column: str, folder: Path) -> int:
    """Return how many different numbers a column of a table has."""
    with Database(folder) as database:
        distinct = f"SELECT DISTINCT {column} FROM read_parquet({quoted(numbers)})"
        return database.execute(f"SELECT count(*) FROM ({distinct})").fetchall()[0][0]


def query(sql: str, folder: Path) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the columns of a query's result, a block of rows after another. The result is in a file of the folder."""
    path = folder / "result.parquet"
    with Database(folder) as database:
        database.execute(f"COPY ({sql}) TO {quoted(path)} (FORMAT parquet)")
    for batch in pq.ParquetFile(path).iter_batches(batch_size=BLOCK):
        yield tuple(column.to_numpy() for column in batch.columns)


def _between(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """Return a function of a place that returns the rows of a table, which ascend, from where it left off to there."""
    rest = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)

    def until(place: int) -> tuple[np.ndarray, np.ndarray]:
        nonlocal rest
        parts = [rest]
        while not len(parts[-1][0]) or parts[-1][0][-1] < place:
            if (following := next(batches, None)) is None:
                break
            parts.append(following)
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        end = int(np.searchsorted(columns[0], place))
        rest = columns[0][end:], columns[1][end:]
        return columns[0][:end], columns[1][:end]

    return until
