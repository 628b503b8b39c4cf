"""Rows that are compared with all rows before them, out of memory: DuckDB keeps on disk what does not fit.

The order of a data set's rows is that of its parts, and within a part that of its file. What is said of a row depends
on the rows before it only, so each part is judged by a job of its own, and into how many parts the rows are divided
changes nothing."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np

# What DuckDB may hold in memory; the process needs some hundred MB besides.
MEMORY = "1500MB"


def repeated_rows(part: Path, earlier: Sequence[Path], columns: Iterable[str]) -> np.ndarray:
    """Return the numbers, from 0, of the rows of a file that are equal in these columns to a row before: int64,
    ascending.

    earlier: files whose rows are all before. Null equals null.
    """
    keys = ", ".join(columns)
    repeats = f"SELECT row FROM (SELECT row, min(row) OVER (PARTITION BY {keys}) AS first FROM own) WHERE row > first"
    if earlier:
        equal = " AND ".join(f"own.{column} IS NOT DISTINCT FROM before.{column}" for column in columns)
        repeats += f" UNION SELECT row FROM own SEMI JOIN read_parquet({_listed(earlier)}) AS before ON {equal}"
    own = f"SELECT file_row_number AS row, {keys} FROM read_parquet({_listed([part])}, file_row_number = true)"
    with _database(part.parent) as database:
        found = database.sql(f"WITH own AS ({own}) SELECT row FROM ({repeats}) ORDER BY row").fetchnumpy()
    return np.asarray(found["row"], dtype=np.int64)


def count_rows(files: Sequence[Path], **values: str) -> int:
    """Return how many rows of these files have these values in the columns of these names."""
    if not files:
        return 0
    where = " AND ".join(f"{column} = ?" for column in values)
    with duckdb.connect() as database:
        query = f"SELECT count(*) FROM read_parquet({_listed(files)}) WHERE {where}"
        return database.execute(query, list(values.values())).fetchone()[0]


class _database:
    """A database of one query, which spills into a folder that is then removed."""

    def __init__(self, folder: Path):
        self._spill = TemporaryDirectory(dir=folder, prefix=".duckdb-")

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        options = {"memory_limit": MEMORY, "threads": threads, "temp_directory": self._spill.name}
        self._connection = duckdb.connect(config=options | {"preserve_insertion_order": False})
        return self._connection

    def __exit__(self, *error) -> None:
        self._connection.close()
        self._spill.cleanup()


def _listed(files: Sequence[Path]) -> str:
    """Return files as a list in SQL."""
    return "[" + ", ".join("'" + str(file).replace("'", "''") + "'" for file in files) + "]"
